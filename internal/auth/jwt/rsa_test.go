package jwt

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"testing"
)

// TestAPaddingHasOneSpelling signs messages that are encoded wrongly, as Bleichenbacher's forgeries
// are (CVE-2006-4339 and its many children), by the key itself: no check may take them, ours or
// crypto/rsa's.
func TestAPaddingHasOneSpelling(t *testing.T) {
	private := issued()["rsa"].Private.(*rsa.PrivateKey)
	text := []byte("header.payload")
	hash := sha256.Sum256(text)
	size := private.Size()
	right := append(pkcs1Head(size, crypto.SHA256), hash[:]...)
	changed := func(change func(m []byte)) []byte {
		m := bytes.Clone(right)
		change(m)
		return m
	}
	info := append(digestInfo(crypto.SHA256), hash[:]...)
	withoutNull := append([]byte{0x30, 0x2f, 0x30, 11, 0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 0x04, 32}, hash[:]...)
	padded := func(info, after []byte) []byte {
		m := bytes.Repeat([]byte{0xff}, size-len(info)-len(after)-1)
		m[0], m[1] = 0, 1
		return append(append(append(m, 0), info...), after...)
	}
	check := pkcs1Check(&private.PublicKey, crypto.SHA256)
	for name, c := range map[string]struct {
		message []byte
		is      bool
	}{
		"as it should be":         {right, true},
		"made again":              {padded(info, nil), true},
		"bytes after the hash":    {padded(info, make([]byte, 100)), false},
		"no NULL":                 {padded(withoutNull, nil), false},
		"only the hash":           {padded(hash[:], nil), false},
		"another hash's name":     {changed(func(m []byte) { m[size-32-5]++ }), false},
		"padded for encryption":   {changed(func(m []byte) { m[1] = 2 }), false},
		"padded by zeros":         {changed(func(m []byte) { clear(m[2 : size-len(info)]) }), false},
		"a hole in its padding":   {changed(func(m []byte) { m[40] = 0 }), false},
		"another hash":            {changed(func(m []byte) { m[size-1] ^= 1 }), false},
		"nothing":                 {make([]byte, size), false},
		"one":                     {append(make([]byte, size-1), 1), false},
		"a length of its own way": {changed(func(m []byte) { m[size-33] = 0x81 }), false},
	} {
		var m big.Int
		signature := m.Exp(m.SetBytes(c.message), private.D, private.N).FillBytes(make([]byte, size))
		theirs := rsa.VerifyPKCS1v15(&private.PublicKey, crypto.SHA256, hash[:], signature) == nil
		if ours := check(text, signature); ours != c.is || ours != theirs {
			t.Errorf("%s: it counts: %v, for crypto/rsa %v", name, ours, theirs)
		}
		if c.is && check(text, m.Add(&m, private.N).FillBytes(make([]byte, size+1))) {
			t.Errorf("%s: it counts with the modulus added", name)
		}
	}
}

// FuzzRSA looks for a signature that counts here and not for crypto/rsa, or the other way round.
func FuzzRSA(f *testing.F) {
	private := issued()["rsa"].Private.(*rsa.PrivateKey)
	checks := map[crypto.Hash]check{}
	for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		checks[hash] = pkcs1Check(&private.PublicKey, hash)
		signature, err := rsa.SignPKCS1v15(nil, private, hash, sum(hash, []byte("text")))
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte("text"), signature)
	}
	f.Add([]byte("text"), private.N.Bytes())
	f.Add([]byte("text"), bytes.Repeat([]byte{0xff}, private.Size()))
	f.Fuzz(func(t *testing.T, text, signature []byte) {
		for hash, check := range checks {
			theirs := rsa.VerifyPKCS1v15(&private.PublicKey, hash, sum(hash, text), signature) == nil
			if ours := check(text, signature); ours != theirs {
				t.Errorf("%v: it counts: %v, for crypto/rsa %v", hash, ours, theirs)
			}
		}
	})
}

func sum(hash crypto.Hash, text []byte) []byte {
	h := hash.New()
	h.Write(text)
	return h.Sum(nil)
}
