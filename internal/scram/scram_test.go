package scram

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// TestExample is the exchange of RFC 7677, section 3.
func TestExample(t *testing.T) {
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	v, err := newVerifier("pencil", salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{verifier: v, nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"}
	first, err := s.First("n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
	if want := "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"; first != want || err != nil {
		t.Fatalf("%q, %v; want %q", first, err, want)
	}
	last, err := s.Final("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
	if want := "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="; last != want || err != nil {
		t.Fatalf("%q, %v; want %q", last, err, want)
	}
}

// proof is what a client answers that knows a password.
func proof(password, bare, first, without string) string {
	fields := strings.Split(first, ",")
	salt, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(fields[1], "s="))
	salted, _ := pbkdf2.Key(sha256.New, password, salt, Iterations, sha256.Size)
	key := sum(salted, "Client Key")
	stored := sha256.Sum256(key)
	h := hmac.New(sha256.New, stored[:])
	h.Write([]byte(bare + "," + first + "," + without))
	for i, b := range h.Sum(nil) {
		key[i] ^= b
	}
	return without + ",p=" + base64.StdEncoding.EncodeToString(key)
}

func TestExchange(t *testing.T) {
	v, err := NewVerifier("geheim")
	if err != nil {
		t.Fatal(err)
	}
	run := func(mechanism, header string, binding []byte, sent []byte, password string, doomed bool) error {
		s, err := NewServer(v, doomed, mechanism, binding)
		if err != nil {
			t.Fatal(err)
		}
		bare := "n=,r=abc"
		first, err := s.First(header + bare)
		if err != nil {
			return err
		}
		nonce, _, _ := strings.Cut(first, ",")
		without := "c=" + base64.StdEncoding.EncodeToString(append([]byte(header), sent...)) + "," + nonce
		_, err = s.Final(proof(password, bare, first, without))
		return err
	}
	data := []byte("hash of the certificate")
	var malformed *Malformed
	var binding *BindingError
	for name, c := range map[string]struct {
		err   error
		check func(error) bool
	}{
		"right":                   {run(SHA256, "n,,", nil, nil, "geheim", false), func(e error) bool { return e == nil }},
		"wrong":                   {run(SHA256, "n,,", nil, nil, "falsch", false), func(e error) bool { return errors.Is(e, ErrMismatch) }},
		"unknown user":            {run(SHA256, "n,,", nil, nil, "geheim", true), func(e error) bool { return errors.Is(e, ErrMismatch) }},
		"client could, no TLS":    {run(SHA256, "y,,", nil, nil, "geheim", false), func(e error) bool { return e == nil }},
		"downgrade":               {run(SHA256, "y,,", data, nil, "geheim", false), func(e error) bool { return errors.As(e, &binding) }},
		"bound":                   {run(SHA256Plus, "p=tls-server-end-point,,", data, data, "geheim", false), func(e error) bool { return e == nil }},
		"bound to another":        {run(SHA256Plus, "p=tls-server-end-point,,", data, []byte("other"), "geheim", false), func(e error) bool { return errors.As(e, &binding) }},
		"another kind of binding": {run(SHA256Plus, "p=tls-unique,,", data, data, "geheim", false), func(e error) bool { return errors.As(e, &binding) }},
		"PLUS without binding":    {run(SHA256Plus, "n,,", data, nil, "geheim", false), func(e error) bool { return errors.As(e, &malformed) }},
		"authorization identity":  {run(SHA256, "n,a=admin,", nil, nil, "geheim", false), func(e error) bool { return errors.As(e, &binding) }},
	} {
		if !c.check(c.err) {
			t.Errorf("%s: %v", name, c.err)
		}
	}
}

func TestVerifier(t *testing.T) {
	v, err := NewVerifier("geheim")
	if err != nil {
		t.Fatal(err)
	}
	w, ok := ParseVerifier(v.String())
	if !ok || !w.Matches("geheim") || w.Matches("falsch") || w.String() != v.String() {
		t.Errorf("%s: %v, %v", v, w, ok)
	}
	for _, s := range []string{"", "geheim", "SCRAM-SHA-256$", "SCRAM-SHA-256$0:AAAA$x:y", strings.Replace(v.String(), "4096", "99999999999", 1), v.String() + "x"} {
		if _, ok := ParseVerifier(s); ok {
			t.Errorf("%q is taken for a verifier", s)
		}
	}
	if a, b := Mock([]byte("s"), "u"), Mock([]byte("s"), "u"); a.String() != b.String() || Mock([]byte("s"), "w").String() == a.String() {
		t.Error("a mock verifier is not one of the user's name")
	}
}

// TestPrepare has the examples of RFC 4013, section 3, and what PostgreSQL makes of what SASLprep refuses.
func TestPrepare(t *testing.T) {
	for in, want := range map[string]string{"I\u00ADX": "IX", "user": "user", "USER": "USER", "\u00AA": "a", "\u2168": "IX", "\u0007": "\u0007",
		"\u0627\u0031": "\u0627\u0031", "a\u00a0b": "a b", "\xff\xfe": "\xff\xfe", "\u200b": "\u200b"} {
		if got := Prepare(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// FuzzServer: whatever a client says, it is refused or has proved that it knows the password.
func FuzzServer(f *testing.F) {
	v, err := NewVerifier("geheim")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("n,,n=user,r=abc", "c=biws,r=abc,p=AAAA", false)
	f.Add("p=tls-server-end-point,,n=,r=abc", "c=,r=,p=", true)
	f.Add("y,,", ",p=", false)
	f.Fuzz(func(t *testing.T, first, last string, plus bool) {
		mechanism, binding := SHA256, []byte(nil)
		if plus {
			mechanism, binding = SHA256Plus, []byte("x")
		}
		s, err := NewServer(v, false, mechanism, binding)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.First(first); err != nil {
			return
		}
		if _, err := s.Final(last); err == nil {
			t.Fatalf("%q, %q got in", first, last)
		}
	})
}
