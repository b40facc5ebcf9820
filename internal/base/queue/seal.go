package queue

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"

	"github.com/weir-gateway/weir/internal/base/statefile"
)

// seal encrypts what is stored: requests carry credentials, and a file that is copied, backed
// up or thrown away with its disk should not hold them in the clear; what bbolt removes stays
// in its free pages. The key lies beside the file, in one of its own that is only this user's.
type seal struct{ aead cipher.AEAD }

const keyBytes = 32 // AES-256

// openSeal reads the key at path, or makes one.
func openSeal(path string) (seal, error) {
	key, err := statefile.Read(path, keyBytes)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, keyBytes)
		_, _ = rand.Read(key) // never fails (crypto/rand)
		err = statefile.Replace(path, key)
	}
	if err != nil {
		return seal{}, fmt.Errorf("the key of the queue: %w", err)
	}
	if len(key) != keyBytes {
		return seal{}, fmt.Errorf("the key of the queue: %s has %d bytes, not %d", path, len(key), keyBytes)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return seal{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return seal{aead}, err
}

// close encrypts a value for its place: moved elsewhere it cannot be opened.
func (s seal) close(bucket, key string, value []byte) []byte {
	return s.aead.Seal(nil, nil, value, []byte(bucket+"/"+key)) //nolint:gosec // it makes its own nonce, and wants none
}

// open decrypts what close has made for that place.
func (s seal) open(bucket, key string, sealed []byte) ([]byte, error) {
	return s.aead.Open(nil, nil, sealed, []byte(bucket+"/"+key))
}
