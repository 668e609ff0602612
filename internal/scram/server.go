package scram

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

// The mechanisms, by their SASL names.
const (
	SHA256     = "SCRAM-SHA-256"
	SHA256Plus = "SCRAM-SHA-256-PLUS"
)

// ErrMismatch says that the client does not know the password.
var ErrMismatch = errors.New("password authentication failed")

// Malformed says that a message is not one that the exchange allows there. Detail is a sentence for the client.
type Malformed struct{ Detail string }

func (m *Malformed) Error() string { return "malformed SCRAM message: " + m.Detail }

// BindingError says that the client's idea of channel binding does not fit: a wrong one, or a downgrade.
type BindingError struct{ Text string }

func (e *BindingError) Error() string { return e.Text }

// Server is one exchange with a client, which First and then Final carry out.
type Server struct {
	verifier *Verifier
	doomed   bool // whatever the client proves, it is not let in
	plus     bool
	binding  []byte // tls-server-end-point data of the connection; nil: there is none
	nonce    string

	header, clientBare, serverFirst, full string
}

// NewServer begins an exchange over a mechanism that the client has chosen. binding is the connection's tls-server-end-point data, nil if there is none.
// doomed says that the user is unknown or has no password: the exchange is the same and ends in ErrMismatch.
func NewServer(v *Verifier, doomed bool, mechanism string, binding []byte) (*Server, error) {
	var nonce [18]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, err
	}
	return &Server{verifier: v, doomed: doomed, plus: mechanism == SHA256Plus, binding: binding, nonce: base64.StdEncoding.EncodeToString(nonce[:])}, nil
}

// Mock gives the verifier of a user who does not exist: always the same for one name and secret, so that nobody can tell it from a real one.
func Mock(secret []byte, user string) *Verifier {
	salt := sum(secret, "salt "+user)[:saltLength]
	v := &Verifier{Iterations: Iterations, Salt: salt}
	copy(v.StoredKey[:], sum(secret, "stored "+user))
	copy(v.ServerKey[:], sum(secret, "server "+user))
	return v
}

// First takes the client's first message and gives the server's.
func (s *Server) First(msg string) (string, error) {
	if err := plain(msg); err != nil {
		return "", err
	}
	flag, rest, ok := strings.Cut(msg, ",")
	switch {
	case !ok:
		return "", &Malformed{"Comma expected, but found character \"end of message\"."}
	case flag == "n":
		if s.plus {
			return "", &Malformed{"The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data."}
		}
	case flag == "y":
		if s.plus {
			return "", &Malformed{"The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data."}
		}
		if s.binding != nil { // somebody between took -PLUS from the list
			return "", &BindingError{"SCRAM channel binding negotiation error"}
		}
	case strings.HasPrefix(flag, "p="):
		if !s.plus {
			return "", &Malformed{"The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding data."}
		}
		if flag != "p=tls-server-end-point" {
			return "", &BindingError{"unsupported SCRAM channel-binding type \"" + printable(flag[2:]) + "\""}
		}
	default:
		return "", &Malformed{"Unexpected channel-binding flag \"" + printable(flag[:min(1, len(flag))]) + "\"."}
	}
	authz, bare, ok := strings.Cut(rest, ",")
	if !ok {
		return "", &Malformed{"Comma expected, but found character \"end of message\"."}
	}
	if authz != "" {
		if strings.HasPrefix(authz, "a=") {
			return "", &BindingError{"client uses authorization identity, but it is not supported"}
		}
		return "", &Malformed{"Unexpected attribute \"" + printable(authz[:1]) + "\" in client-first-message."}
	}
	if strings.HasPrefix(bare, "m=") {
		return "", &BindingError{"client requires an unsupported SCRAM extension"}
	}
	user, after, ok := strings.Cut(bare, ",")
	if !ok || !strings.HasPrefix(user, "n=") { // the name is that of the startup packet, whatever this says
		return "", &Malformed{"Expected attribute \"n\"."}
	}
	nonce, _, _ := strings.Cut(after, ",")
	nonce, ok = strings.CutPrefix(nonce, "r=")
	if !ok || nonce == "" {
		return "", &Malformed{"Expected attribute \"r\"."}
	}
	for i := range len(nonce) {
		if nonce[i] < 0x21 || nonce[i] > 0x7e {
			return "", &Malformed{"non-printable characters in SCRAM nonce"}
		}
	}
	s.header, s.clientBare = msg[:len(msg)-len(bare)], bare
	s.full = nonce + s.nonce
	s.serverFirst = "r=" + s.full + ",s=" + base64.StdEncoding.EncodeToString(s.verifier.Salt) + ",i=" + strconv.Itoa(s.verifier.Iterations)
	return s.serverFirst, nil
}

// Final takes the client's last message and gives the server's: the client knows the password.
func (s *Server) Final(msg string) (string, error) {
	if err := plain(msg); err != nil {
		return "", err
	}
	i := strings.LastIndex(msg, ",p=")
	if i < 0 {
		return "", &Malformed{"Expected attribute \"p\"."}
	}
	without, proofText := msg[:i], msg[i+len(",p="):]
	bound, rest, ok := strings.Cut(without, ",")
	bound, isBinding := strings.CutPrefix(bound, "c=")
	if !ok || !isBinding {
		return "", &Malformed{"Expected attribute \"c\"."}
	}
	nonce, _, _ := strings.Cut(rest, ",")
	if nonce, ok = strings.CutPrefix(nonce, "r="); !ok {
		return "", &Malformed{"Expected attribute \"r\"."}
	}
	want := []byte(s.header)
	if s.plus {
		want = append(want, s.binding...)
	}
	if subtle.ConstantTimeCompare([]byte(bound), []byte(base64.StdEncoding.EncodeToString(want))) != 1 {
		if s.plus {
			return "", &BindingError{"SCRAM channel binding check failed"}
		}
		return "", &Malformed{"unexpected SCRAM channel-binding attribute in client-final-message"}
	}
	if subtle.ConstantTimeCompare([]byte(nonce), []byte(s.full)) != 1 {
		return "", &Malformed{"Nonce does not match."}
	}
	proof, err := base64.StdEncoding.Strict().DecodeString(proofText)
	if err != nil || len(proof) != sha256.Size {
		return "", &Malformed{"Malformed proof in client-final-message."}
	}
	auth := s.clientBare + "," + s.serverFirst + "," + without
	key := sum(s.verifier.StoredKey[:], auth)
	for i := range key {
		key[i] ^= proof[i]
	}
	stored := sha256.Sum256(key)
	if subtle.ConstantTimeCompare(stored[:], s.verifier.StoredKey[:]) != 1 || s.doomed {
		return "", ErrMismatch
	}
	return "v=" + base64.StdEncoding.EncodeToString(sum(s.verifier.ServerKey[:], auth)), nil
}

func plain(msg string) error {
	switch {
	case msg == "":
		return &Malformed{"The message is empty."}
	case strings.IndexByte(msg, 0) >= 0:
		return &Malformed{"Message length does not match input length."}
	}
	return nil
}

// printable gives text from a client in a form that a message may show.
func printable(s string) string {
	q := strconv.QuoteToASCII(s[:min(len(s), 30)])
	return q[1 : len(q)-1]
}
