// Package scram is the server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, 7677, 5929) as PostgreSQL speaks it, and the
// verifiers that stand for passwords.
package scram

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

const (
	// Iterations is how often a password is hashed for a new verifier: PostgreSQL's default.
	Iterations = 4096
	saltLength = 16
	prefix     = "SCRAM-SHA-256$"
	// maxIterations bounds what a verifier from outside may ask of a client.
	maxIterations = 10_000_000
)

// Verifier stands for a password: it can tell who knows it, and does not give it away.
type Verifier struct {
	Iterations           int
	Salt                 []byte
	StoredKey, ServerKey [sha256.Size]byte
}

// NewVerifier makes a verifier of a password with a random salt.
func NewVerifier(password string) (*Verifier, error) {
	salt := make([]byte, saltLength)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	return newVerifier(password, salt, Iterations)
}

func newVerifier(password string, salt []byte, iterations int) (*Verifier, error) {
	salted, err := pbkdf2.Key(sha256.New, Prepare(password), salt, iterations, sha256.Size)
	if err != nil {
		return nil, err
	}
	v := &Verifier{Iterations: iterations, Salt: salt, StoredKey: sha256.Sum256(sum(salted, "Client Key"))}
	copy(v.ServerKey[:], sum(salted, "Server Key"))
	return v, nil
}

// Matches reports whether a password is the one that the verifier was made of.
func (v *Verifier) Matches(password string) bool {
	w, err := newVerifier(password, v.Salt, v.Iterations)
	return err == nil && subtle.ConstantTimeCompare(v.ServerKey[:], w.ServerKey[:]) == 1
}

// String gives the verifier as PostgreSQL stores it: SCRAM-SHA-256$iterations:salt$storedkey:serverkey.
func (v *Verifier) String() string {
	b := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s%d:%s$%s:%s", prefix, v.Iterations, b(v.Salt), b(v.StoredKey[:]), b(v.ServerKey[:]))
}

// ParseVerifier reads what String gives; false: it is no verifier.
func ParseVerifier(s string) (*Verifier, bool) {
	rest, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return nil, false
	}
	head, keys, ok1 := strings.Cut(rest, "$")
	iterations, salt, ok2 := strings.Cut(head, ":")
	stored, server, ok3 := strings.Cut(keys, ":")
	if !ok1 || !ok2 || !ok3 {
		return nil, false
	}
	n, err := strconv.Atoi(iterations)
	if err != nil || n < 1 || n > maxIterations || iterations[0] == '+' {
		return nil, false
	}
	v := &Verifier{Iterations: n}
	if v.Salt, err = base64.StdEncoding.Strict().DecodeString(salt); err != nil || len(v.Salt) == 0 {
		return nil, false
	}
	return v, decodeKey(stored, &v.StoredKey) && decodeKey(server, &v.ServerKey)
}

func decodeKey(s string, key *[sha256.Size]byte) bool {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return err == nil && copy(key[:], b) == sha256.Size && len(b) == sha256.Size
}

// sum is HMAC-SHA-256.
func sum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
