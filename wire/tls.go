package wire

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"os"
	"sync"
	"time"

	"streamsql/internal/pgerr"
)

// Certificate is the server's certificate and key. The files are read again when they have changed, and by Reload.
type Certificate struct {
	certFile, keyFile string

	mu      sync.Mutex
	state   *certState
	checked time.Time
	stamp   [2]time.Time
}

// certState is what connections that begin now use.
type certState struct {
	config  *tls.Config
	binding []byte // tls-server-end-point data of channel binding; nil: the certificate has none
}

// reloadEvery is how often the files are looked at, at most.
const reloadEvery = time.Second

// LoadCertificate reads a certificate with its chain, and its key, both PEM.
func LoadCertificate(certFile, keyFile string) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile}
	return c, c.Reload()
}

// Reload reads the files again. After an error the certificate is the one before.
func (c *Certificate) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.load()
}

func (c *Certificate) load() error {
	stamp := c.stamps()
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return pgerr.New(pgerr.ConfigFileError, "could not load server certificate \"%s\" and key \"%s\": %v", c.certFile, c.keyFile, err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return pgerr.New(pgerr.ConfigFileError, "could not load server certificate \"%s\": %v", c.certFile, err)
	}
	c.state = &certState{binding: endPoint(leaf), config: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
		NextProtos: nil, SessionTicketsDisabled: true}}
	c.stamp = stamp
	return nil
}

func (c *Certificate) stamps() (out [2]time.Time) {
	for i, f := range []string{c.certFile, c.keyFile} {
		if st, err := os.Stat(f); err == nil {
			out[i] = st.ModTime()
		}
	}
	return out
}

// current gives the certificate for a connection that begins. Files that have changed, but do not fit each other (yet), are left alone.
func (c *Certificate) current() *certState {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= reloadEvery {
		c.checked = now
		if c.stamps() != c.stamp {
			_ = c.load() // it stays what it was until the files fit
		}
	}
	return c.state
}

// endPoint gives tls-server-end-point (RFC 5929): the hash of the certificate by the hash function of its signature, SHA-256 in the place of weaker ones.
func endPoint(leaf *x509.Certificate) []byte {
	switch leaf.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.SHA256WithRSA, x509.ECDSAWithSHA256, x509.SHA256WithRSAPSS:
		h := sha256.Sum256(leaf.Raw)
		return h[:]
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		h := sha512.Sum384(leaf.Raw)
		return h[:]
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		h := sha512.Sum512(leaf.Raw)
		return h[:]
	}
	return nil // Ed25519 names no hash
}
