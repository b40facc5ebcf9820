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

// seal encrypts what is stored. Requests carry credentials, and a file that is copied, backed up or thrown away with
// its disk should not hold them in the clear. Values that bbolt removes stay in its free pages. The key is in a file of
// its own next to the queue's file, which only this user can read.
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

// close encrypts a value for its bucket and key. It cannot be opened under another bucket or key.
func (s seal) close(bucket, key string, value []byte) []byte {
	return s.aead.Seal(nil, nil, value, []byte(bucket+"/"+key)) //nolint:gosec // it makes its own nonce, and wants none
}

// open decrypts what close has encrypted for that bucket and key.
func (s seal) open(bucket, key string, sealed []byte) ([]byte, error) {
	return s.aead.Open(nil, nil, sealed, []byte(bucket+"/"+key))
}
