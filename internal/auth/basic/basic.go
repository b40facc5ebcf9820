// Package basic recognises callers by name and password (RFC 7617). Passwords are known by hashes of bcrypt or
// argon2id, which are expensive on purpose. A credential that was right once is remembered by a keyed digest, so the
// cost is paid once and not for every request.
package basic

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/keep"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// The bounds on the work for a caller that is not known yet.
const (
	longestCredential = 4 << 10
	remembered        = 4096            // right credentials, by their digests
	patience          = 5 * time.Second // wait for one of the few places where hashes are computed
)

// Definition defines this kind of auth.
func Definition() auth.Definition {
	return auth.Define("basic", "names and passwords, known by hashes", func() Config { return Config{} }, build)
}

func build(env auth.Env, c *Config) (auth.Way, error) {
	b := &book{
		users: map[string]*user{}, verified: auth.NewMemory[auth.Digest, *exchange.Identity](remembered),
		// Half of the processors, so that a flood of wrong passwords does not block other requests.
		places: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), //nolint:mnd // half
		told:   sha256.New(),
	}
	if _, err := rand.Read(b.key[:]); err != nil {
		return auth.Way{}, err
	}
	if err := b.fill(env, c); err != nil {
		return auth.Way{}, err
	}
	b, err := b.kept(env, c)
	count := "the users of a file"
	if c.Basic.File == nil {
		count = auth.Count(len(c.Basic.Members), "user")
	}
	return auth.Way{
		Recognise: b.recognise, Scheme: "Basic", Places: []auth.Place{auth.AuthorizationOf("Basic")}, Common: c.Common, Note: count,
	}, err
}

// kept returns the living book if it has the same content, together with the passwords that it has verified; otherwise
// it returns b.
func (b *book) kept(env auth.Env, c *Config) (*book, error) {
	identity := fmt.Sprintf("basic %s %s %x", env.Name, doc.Encode(c), b.told.Sum(nil))
	live, err := keep.In(env.Keep, identity, func() (*book, func(context.Context), error) { return b, func(context.Context) {}, nil })
	if live == nil { // the config is only checked
		return b, err
	}
	return live, err
}

// user is a caller with a password, or with several while the password is being changed.
type user struct {
	identity *exchange.Identity
	hashes   []verifier
	plain    []auth.Digest // of passwords that were given in plain text
}

// book holds all users.
type book struct {
	key      [sha256.Size]byte // makes digests useless to someone who reads the memory later
	users    map[string]*user
	verified *auth.Memory[auth.Digest, *exchange.Identity]
	// dearest is the most expensive hash. A wrong name or password is checked against it, so that the time does not
	// reveal which names exist. It is nil if no password is hashed.
	dearest *verifier
	places  chan struct{}
	told    hash.Hash // of all the book's content
}

func (b *book) fill(env auth.Env, c *Config) error {
	if c.Basic.File != nil {
		file := config.Secret(*c.Basic.File)
		text, known, err := env.Text(file)
		if !known {
			return err
		}
		b.tell(text)
		return b.readFile(env, file, text)
	}
	var errs []error
	for _, member := range c.Basic.Members {
		u, err := b.addUser(member.ID, member.Identity(env.Name))
		for _, proof := range member.Proofs {
			if err == nil {
				err = b.addProof(env, u, proof)
			}
		}
		if err != nil {
			errs = append(errs, member.Wrong(err))
		}
	}
	return errors.Join(errs...)
}

// readFile reads lines of the form name:hash and skips empty lines and those that begin with #.
func (b *book) readFile(env auth.Env, file config.Secret, text string) error {
	var errs []error
	line := 0
	for raw := range strings.Lines(text) {
		line++
		raw = strings.TrimSpace(raw)
		if raw == "" || raw[0] == '#' {
			continue
		}
		name, hash, _ := strings.Cut(raw, ":")
		u, err := b.addUser(name, auth.Member{ID: name}.Identity(env.Name))
		if err == nil {
			err = b.addHash(u, hash)
		}
		if err != nil {
			errs = append(errs, auth.Unusable(file, fmt.Errorf("line %d: %w", line, err)))
		}
	}
	if len(b.users) == 0 && len(errs) == 0 {
		return auth.Unusable(file, errors.New("the file holds no users; `htpasswd -cB FILE NAME` makes one"))
	}
	return errors.Join(errs...)
}

func (b *book) addUser(name string, identity *exchange.Identity) (*user, error) {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == ':' || r == 0x7f }) {
		return nil, errors.New("a name of RFC 7617 is not empty and has no colon and no control characters")
	}
	if b.users[name] != nil {
		return nil, errors.New("this user stands twice")
	}
	u := &user{identity: identity}
	b.users[name] = u
	return u, nil
}

// addProof adds a hash, or a reference to a hash or to the password itself.
func (b *book) addProof(env auth.Env, u *user, proof config.Secret) error {
	text, known, err := env.Text(proof)
	if !known {
		return err
	}
	b.tell(text)
	err = b.addHash(u, text)
	switch {
	case errors.Is(err, errNoHash) && proof.Refers():
		u.plain = append(u.plain, b.digest("", text))
		return nil
	case errors.Is(err, errNoHash):
		return auth.Unusable(proof, errors.New("the password stands in the config itself; write its hash (`htpasswd -nbB NAME PASSWORD` makes one), or a reference such as ${env:PASSWORD}"))
	case err != nil:
		return auth.Unusable(proof, err)
	default:
		return nil
	}
}

func (b *book) tell(text string) { fmt.Fprintf(b.told, "%d %s", len(text), text) }

func (b *book) addHash(u *user, text string) error {
	v, err := parseHash(text)
	if err != nil {
		return err
	}
	u.hashes = append(u.hashes, v)
	if b.dearest == nil || v.cost > b.dearest.cost {
		b.dearest = &v
	}
	return nil
}

// digest is keyed, and encodes the name's length so that the two parts cannot run together.
func (b *book) digest(name, password string) auth.Digest {
	text := make([]byte, 0, len(b.key)+binary.MaxVarintLen64+len(name)+len(password))
	text = append(text, b.key[:]...)
	text = binary.AppendUvarint(text, uint64(len(name)))
	text = append(text, name...)
	return sha256.Sum256(append(text, password...))
}

func (b *book) recognise(r *http.Request) (*exchange.Identity, error) {
	credential, err := auth.Find(r, []auth.Place{auth.AuthorizationOf("Basic")})
	if err != nil {
		return nil, err
	}
	name, password, err := parse(credential)
	if err != nil {
		return nil, err
	}
	digest := b.digest(name, password)
	if identity, ok := b.verified.Get(digest); ok {
		return identity, nil
	}
	identity, err := b.verify(r, name, password)
	if err == nil {
		b.verified.Put(digest, identity)
	}
	return identity, err
}

// parse reads base64(name ":" password).
func parse(credential string) (name, password string, err error) {
	if len(credential) > longestCredential {
		return "", "", auth.Refuse("the credential has more than %d bytes", longestCredential)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(credential)
	if err != nil {
		return "", "", auth.Refuse("the credential is no base64")
	}
	name, password, ok := strings.Cut(string(raw), ":")
	if !ok || strings.ContainsFunc(string(raw), func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", "", auth.Refuse("the credential is no name:password, or holds control characters")
	}
	return name, password, nil
}

// verify computes hashes, a few at a time. It takes about as long for an unknown name as for a wrong password.
func (b *book) verify(r *http.Request, name, password string) (*exchange.Identity, error) {
	u := b.users[name]
	if u != nil && u.knows(b.digest("", password)) {
		return u.identity, nil
	}
	if b.dearest == nil {
		return nil, auth.Refuse("the name or the password is wrong")
	}
	if err := b.enter(r); err != nil {
		return nil, err
	}
	defer func() { <-b.places }()
	if u == nil || len(u.hashes) == 0 {
		b.dearest.matches([]byte(password)) // for the time it takes; the result is ignored
		return nil, auth.Refuse("the name or the password is wrong")
	}
	for _, h := range u.hashes {
		if h.matches([]byte(password)) {
			return u.identity, nil
		}
	}
	return nil, auth.Refuse("the name or the password is wrong")
}

func (u *user) knows(password auth.Digest) bool {
	known := 0
	for _, p := range u.plain {
		known |= subtle.ConstantTimeCompare(p[:], password[:])
	}
	return known == 1
}

// enter waits for one of the places where hashes are computed.
func (b *book) enter(r *http.Request) error {
	select {
	case b.places <- struct{}{}:
		return nil
	default:
	}
	wait := time.NewTimer(patience)
	defer wait.Stop()
	select {
	case b.places <- struct{}{}:
		return nil
	case <-r.Context().Done():
		return fault.ClientGone.New("", fault.Cause(r.Context().Err()))
	case <-wait.C:
		return fault.AuthUnavailable.New("Try again in a moment.", fault.RetryAfter(patience), fault.Internal("more passwords are to be checked than there is time for"))
	}
}
