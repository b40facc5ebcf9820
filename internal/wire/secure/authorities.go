package secure

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// Authorities reads certificates in PEM form. All of the text must be valid, because a certificate that was silently
// skipped would not be trusted.
func Authorities(text []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	found := 0
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds a %s, where only certificates belong", block.Type)
		}
		found++
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("its certificate %d: %w", found, err)
		}
		pool.AddCert(certificate)
	}
	if found == 0 {
		return nil, errors.New("it holds no certificate in PEM form")
	}
	return pool, nil
}
