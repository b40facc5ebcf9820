package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
)

// DigestPrefix begins the digest of a key in a config. 64 hexadecimal digits follow it.
const DigestPrefix = "sha256:"

// shortestKey is the minimum length of a key that is given itself. A shorter one could be found from its digest.
const shortestKey = 16

// DigestOfKey returns the digest of a key that is written as a digest or as a reference to the key itself. Its error
// has the key's position. known is false if the key is a reference and the config is only checked.
func (e Env) DigestOfKey(key config.Secret) (digest Digest, known bool, err error) {
	text, known, err := e.Text(key)
	if !known {
		return Digest{}, false, err
	}
	if digits, ok := strings.CutPrefix(text, DigestPrefix); ok {
		raw, err := hex.DecodeString(digits)
		if err != nil || len(raw) != len(digest) {
			return Digest{}, false, Unusable(key, fmt.Errorf("%s is followed by the 64 hexadecimal digits of a digest; `printf %%s KEY | sha256sum` gives them", DigestPrefix))
		}
		return Digest(raw), true, nil
	}
	if !key.Refers() {
		return Digest{}, false, Unusable(key, fmt.Errorf("the key stands in the config itself; write its digest (`printf %%s KEY | sha256sum`) after %s, or a reference such as ${env:ACME_KEY}", DigestPrefix))
	}
	if len(text) < shortestKey {
		return Digest{}, false, Unusable(key, fmt.Errorf("the key has %d characters; one of less than %d could be guessed; make a longer one, as `openssl rand -hex 32` does", len(text), shortestKey))
	}
	return Digest(sha256.Sum256([]byte(text))), true, nil
}
