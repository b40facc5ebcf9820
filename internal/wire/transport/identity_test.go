package transport_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/wire/transport"
)

// workload returns a self-signed certificate for a URI, like those that SPIFFE issues.
func workload(t *testing.T, uri string) *x509.Certificate {
	t.Helper()
	name, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), URIs: []*url.URL{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func TestSANsMayBeURIsAndMatchWhole(t *testing.T) {
	leaf := workload(t, "spiffe://shop.dev/users")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})
	for san, ok := range map[string]bool{"spiffe://shop.dev/users": true, "spiffe://shop.dev/orders": false, "spiffe://shop.dev": false, "shop.dev": false} {
		config, err := transport.Identity{CA: ca, SANs: []string{san}}.TLS()
		if err != nil {
			t.Fatal(err)
		}
		if err := config.VerifyConnection(tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}); ok != (err == nil) {
			t.Errorf("%s: %v", san, err)
		}
	}
}
