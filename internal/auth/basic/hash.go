package basic

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// verifier checks a password against one hash.
type verifier struct {
	matches func(password []byte) bool
	cost    float64 // roughly, in SHA-256 computations; used to find the most expensive hash
}

// bcryptBytes is how many bytes of a password bcrypt reads. A longer password would match by its first bytes alone.
const bcryptBytes = 72

// The bounds of a hash's own parameters. Beyond them a single login could take a machine down.
const (
	mostBcrypt = 15
	mostMemory = 256 << 10 // KiB
	mostPasses = 16
)

// parseHash reads a hash as htpasswd and common libraries write it.
func parseHash(text string) (verifier, error) {
	switch {
	case strings.HasPrefix(text, "$2a$"), strings.HasPrefix(text, "$2b$"), strings.HasPrefix(text, "$2y$"):
		return parseBcrypt(text)
	case strings.HasPrefix(text, "$argon2id$"):
		return parseArgon(text)
	case strings.HasPrefix(text, "$argon2"):
		return verifier{}, errors.New("of argon2 only argon2id is taken, the variant for passwords")
	case strings.HasPrefix(text, "$apr1$"), strings.HasPrefix(text, "$1$"), strings.HasPrefix(text, "{SHA}"):
		return verifier{}, errors.New("this hash is of MD5 or SHA-1, and passwords are found by it within hours; make one of bcrypt (htpasswd -B)")
	default:
		return verifier{}, errNoHash
	}
}

var errNoHash = errors.New("this is no hash of bcrypt ($2y$...) or argon2id ($argon2id$...); `htpasswd -nbB NAME PASSWORD` makes one")

func parseBcrypt(text string) (verifier, error) {
	cost, err := bcrypt.Cost([]byte(text))
	if err != nil || len(text) != 60 {
		return verifier{}, errors.New("the bcrypt hash is cut or misspelt; it has 60 characters")
	}
	if cost > mostBcrypt {
		return verifier{}, fmt.Errorf("a cost of %d is too much for a password that is asked for by the network; %d is the most", cost, mostBcrypt)
	}
	hash := []byte(text)
	return verifier{
		cost:    math.Exp2(float64(cost)),
		matches: func(p []byte) bool { return len(p) <= bcryptBytes && bcrypt.CompareHashAndPassword(hash, p) == nil },
	}, nil
}

// parseArgon reads the PHC form $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH.
func parseArgon(text string) (verifier, error) {
	wrong := errors.New("the argon2id hash is not of the form $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH")
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return verifier{}, wrong
	}
	var numbers [3]uint64
	parameters := strings.Split(parts[3], ",")
	if len(parameters) != len(numbers) {
		return verifier{}, wrong
	}
	for i, name := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(parameters[i], name)
		n, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || n == 0 {
			return verifier{}, wrong
		}
		numbers[i] = n
	}
	salt, err := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	hash, err2 := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err != nil || err2 != nil || len(salt) < 8 || len(hash) < 16 {
		return verifier{}, wrong
	}
	memory, passes, threads := numbers[0], numbers[1], numbers[2]
	if memory > mostMemory || passes > mostPasses || threads > math.MaxUint8 {
		return verifier{}, fmt.Errorf("m=%d,t=%d,p=%d is too much for a password that is asked for by the network; m=%d,t=%d is the most", memory, passes, threads, mostMemory, mostPasses)
	}
	return verifier{
		cost: float64(memory) * float64(passes),
		matches: func(p []byte) bool {
			got := argon2.IDKey(p, salt, uint32(passes), uint32(memory), uint8(threads), uint32(len(hash)))
			return subtle.ConstantTimeCompare(got, hash) == 1
		},
	}, nil
}
