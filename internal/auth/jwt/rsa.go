package jwt

import (
	"bytes"
	"crypto"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/sha512"
	"fmt"

	"filippo.io/bigmod"
)

// pkcs1Check checks signatures of RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2.2). crypto/rsa derives some values from a key
// anew for each signature, which takes a third of its time; here they are computed once
// (docs/decisions/0073-rsa-keys-prepared.md). In FIPS mode crypto/rsa does everything.
func pkcs1Check(k *rsa.PublicKey, hash crypto.Hash) check {
	modulus, err := bigmod.NewModulus(k.N.Bytes())
	if err != nil || fips140.Enabled() {
		return func(text, signature []byte) bool {
			var room [sha512.Size]byte
			return rsa.VerifyPKCS1v15(k, hash, digest(hash, &room, text), signature) == nil
		}
	}
	head := pkcs1Head(modulus.Size(), hash)
	return func(text, signature []byte) bool {
		if len(signature) != modulus.Size() {
			return false
		}
		s, err := bigmod.NewNat().SetBytes(signature, modulus)
		if err != nil { // it is not smaller than the modulus
			return false
		}
		message := bigmod.NewNat().ExpShortVarTime(s, uint(k.E), modulus).Bytes(modulus)
		var room [sha512.Size]byte
		// The text has exactly one encoded message. It is built and compared with the signed one, which is not parsed:
		// what is not parsed cannot be misread.
		rest, ok := bytes.CutPrefix(message, head)
		return ok && bytes.Equal(rest, digest(hash, &room, text))
	}
}

// pkcs1Head returns an encoded message up to its hash (RFC 8017 section 9.2).
func pkcs1Head(size int, hash crypto.Hash) []byte {
	info := digestInfo(hash)
	head := bytes.Repeat([]byte{0xff}, size-hash.Size())
	head[0], head[1] = 0, 1
	head[len(head)-len(info)-1] = 0
	copy(head[len(head)-len(info):], info)
	return head
}

// digestInfo returns the DER of a DigestInfo up to its hash (RFC 8017 section 9.2, note 1).
func digestInfo(hash crypto.Hash) []byte {
	var last byte // of the hash's object identifier, 2.16.840.1.101.3.4.2.x
	switch hash {
	case crypto.SHA256:
		last = 1
	case crypto.SHA384:
		last = 2
	case crypto.SHA512:
		last = 3
	default:
		panic(fmt.Sprintf("jwt: no algorithm has the hash %v", hash))
	}
	size := byte(hash.Size())
	return []byte{0x30, 17 + size, 0x30, 13, 0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, last, 0x05, 0, 0x04, size}
}
