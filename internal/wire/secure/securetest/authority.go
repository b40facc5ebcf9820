// Package securetest issues certificates for tests.
package securetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Authority issues certificates and signs them with its own key.
type Authority struct {
	tb     testing.TB
	leaf   *x509.Certificate
	key    crypto.Signer
	serial int64
}

// NewAuthority makes an authority with keys of its own.
func NewAuthority(tb testing.TB, name string) *Authority {
	tb.Helper()
	a := &Authority{tb: tb, key: ecdsaKey(tb), serial: 1}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	a.leaf = a.sign(template, template, a.key.Public())
	return a
}

// Pool returns the pool that trusts the authority.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.leaf)
	return pool
}

// PEM returns the authority's own certificate.
func (a *Authority) PEM() []byte { return certificatePEM(a.leaf.Raw) }

// Change alters a certificate before it is signed.
type Change func(*x509.Certificate)

// Expired makes a certificate that was valid until an hour ago.
func Expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
}

// Issue makes a certificate for a server or a client. Names are DNS names, addresses, or URIs; the first one is also
// the common name.
func (a *Authority) Issue(names []string, changes ...Change) tls.Certificate {
	a.tb.Helper()
	return a.issue(ecdsaKey(a.tb), names, changes)
}

// IssueRSA is Issue with an RSA key.
func (a *Authority) IssueRSA(names []string, changes ...Change) tls.Certificate {
	a.tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		a.tb.Fatal(err)
	}
	return a.issue(key, names, changes)
}

func (a *Authority) issue(key crypto.Signer, names []string, changes []Change) tls.Certificate {
	a.tb.Helper()
	a.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial),
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		u, err := url.Parse(name)
		switch ip := net.ParseIP(name); {
		case ip != nil:
			template.IPAddresses = append(template.IPAddresses, ip)
		case strings.Contains(name, "://") && err == nil:
			template.URIs = append(template.URIs, u)
		default:
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	if len(names) > 0 {
		template.Subject.CommonName = names[0]
	}
	for _, change := range changes {
		change(template)
	}
	leaf := a.sign(template, a.leaf, key.Public())
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

func (a *Authority) sign(template, parent *x509.Certificate, key crypto.PublicKey) *x509.Certificate {
	a.tb.Helper()
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		a.tb.Fatal(err)
	}
	return leaf
}

// Write puts a certificate into folder as name.crt and name.key. Each file is replaced atomically, as tools that renew
// certificates do.
func Write(tb testing.TB, folder, name string, c tls.Certificate) {
	tb.Helper()
	raw, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		tb.Fatal(err)
	}
	WriteFile(tb, filepath.Join(folder, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
	WriteFile(tb, filepath.Join(folder, name+".crt"), certificatePEM(c.Certificate[0]))
}

// WriteFile replaces a file atomically.
func WriteFile(tb testing.TB, path string, content []byte) {
	tb.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		tb.Fatal(err)
	}
}

func certificatePEM(raw []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}

func ecdsaKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}
