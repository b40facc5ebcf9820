package basic

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// bcrypted is only of the right form.
const bcrypted = "$2y$04$Zl1N5Q0RZ3pYkB2m1oIuSOeJ3Q1m3p4o7b0aX6r8u0e2v4x6z8A1C"

// argonned is the hash of "password" in the tests of Argon2's reference implementation.
const argonned = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"

func hashed(t testing.TB, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

// keeper is the compiler's keep: what was made under an identity lives on.
type keeper map[string]any

func (k keeper) keep(identity string, makeIt func() (any, func(context.Context), error)) (any, error) {
	if v, ok := k[identity]; ok {
		return v, nil
	}
	v, _, err := makeIt()
	k[identity] = v
	return v, err
}

func configOf(t testing.TB, text string) *Config {
	t.Helper()
	var ps doc.Problems
	c := &Config{}
	doc.Decode(doc.Parse("weir.yaml", []byte(text), &ps), c, &ps)
	if ps.Failed() {
		t.Fatal(ps.Sorted())
	}
	return c
}

func way(t testing.TB, k keeper, text string) (auth.Way, error) {
	t.Helper()
	return Definition().Build(auth.Env{Name: "staff", Secret: secret.Resolve, Keep: k.keep}, configOf(t, text))
}

func request(authorization ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Authorization"] = authorization
	return exchange.With(r, &exchange.Exchange{})
}

func credential(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

func TestUsersAreRecognisedByTheirPasswords(t *testing.T) {
	t.Setenv("EVE", "plain-password")
	t.Setenv("BOB", hashed(t, "by reference"))
	w, err := way(t, keeper{}, `
basic:
  ada: { is: "`+hashed(t, "swordfish")+`", scopes: [orders:read], claims: { team: shop } }
  bob: ["${env:BOB}", "`+hashed(t, "the next one")+`"]
  eve: "${env:EVE}"
  kim: "`+argonned+`"
`)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		authorization []string
		want          string
	}{
		"right":                    {[]string{credential("ada", "swordfish")}, "ada"},
		"by a reference":           {[]string{credential("bob", "by reference")}, "bob"},
		"the next one":             {[]string{credential("bob", "the next one")}, "bob"},
		"a plain one":              {[]string{credential("eve", "plain-password")}, "eve"},
		"by argon2id":              {[]string{credential("kim", "password")}, "kim"},
		"a wrong one for argon2id": {[]string{credential("kim", "passwort")}, "refused"},
		"a wrong plain one":        {[]string{credential("eve", "swordfish")}, "refused"},
		"of another":               {[]string{credential("bob", "swordfish")}, "refused"},
		"longer":                   {[]string{credential("ada", "swordfish ")}, "refused"},
		"no password":              {[]string{credential("ada", "")}, "refused"},
		"an unknown name":          {[]string{credential("mallory", "swordfish")}, "refused"},
		"an empty name":            {[]string{credential("", "swordfish")}, "refused"},
		"another case":             {[]string{credential("Ada", "swordfish")}, "refused"},
		"no colon":                 {[]string{"Basic " + base64.StdEncoding.EncodeToString([]byte("ada"))}, "refused"},
		"a NUL":                    {[]string{credential("ada", "swordfish\x00")}, "refused"},
		"no base64":                {[]string{"Basic ada:swordfish"}, "refused"},
		"base64 of the other kind": {[]string{"Basic " + base64.RawURLEncoding.EncodeToString([]byte("ada:swordfish"))}, "refused"},
		"twice":                    {[]string{credential("ada", "swordfish"), credential("ada", "swordfish")}, "refused"},
		"huge":                     {[]string{credential("ada", strings.Repeat("x", 100_000))}, "refused"},
		"another scheme":           {[]string{"Bearer x"}, "absent"},
		"none":                     {nil, "absent"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second time from memory
				id, err := w.Recognise(request(c.authorization...))
				got := "refused"
				switch _, refused := errors.AsType[*auth.RefusedError](err); {
				case err == nil:
					got = id.Subject
				case errors.Is(err, auth.ErrAbsent):
					got = "absent"
				case !refused:
					t.Fatal(err)
				}
				if got != c.want {
					t.Errorf("%s (%v), not %s", got, err, c.want)
				}
			}
		})
	}
	if id, err := w.Recognise(request(credential("ada", "swordfish"))); err != nil || id.Scopes[0] != "orders:read" || id.Claims.All()["team"] != "shop" || id.Method != "staff" {
		t.Errorf("ada is %+v, %v", id, err)
	}
}

// TestBcryptReadsNoMoreThanItSays holds that a long password does not match by its
// first 72 bytes.
func TestBcryptReadsNoMoreThanItSays(t *testing.T) {
	long := strings.Repeat("x", 72)
	w, err := way(t, keeper{}, `basic: { ada: "`+hashed(t, long)+`" }`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Recognise(request(credential("ada", long))); err != nil {
		t.Error(err)
	}
	if _, err := w.Recognise(request(credential("ada", long+"y"))); err == nil {
		t.Error("a longer password passes by its beginning")
	}
}

// counting makes a book whose hashes are counted.
func counting(t *testing.T) (*book, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	slow := func(right string) verifier {
		return verifier{cost: 1, matches: func(p []byte) bool { n.Add(1); return string(p) == right }}
	}
	b := &book{users: map[string]*user{}, verified: auth.NewMemory[auth.Digest, *exchange.Identity](8), places: make(chan struct{}, 1)}
	hash := slow("swordfish")
	b.users["ada"] = &user{identity: &exchange.Identity{Subject: "ada"}, hashes: []verifier{hash}}
	b.users["eve"] = &user{identity: &exchange.Identity{Subject: "eve"}, plain: []auth.Digest{b.digest("", "plain")}}
	b.dearest = &hash
	return b, &n
}

func TestTheTimeTellsNotWhichNamesThereAre(t *testing.T) {
	b, n := counting(t)
	for _, name := range []string{"ada", "mallory", "eve"} {
		before := n.Load()
		if _, err := b.recognise(request(credential(name, "wrong"))); err == nil {
			t.Fatalf("%s passes", name)
		}
		if got := n.Load() - before; got != 1 {
			t.Errorf("a wrong password of %s costs %d hashes, not 1", name, got)
		}
	}
}

func TestARightPasswordIsPaidOnce(t *testing.T) {
	b, n := counting(t)
	for range 5 {
		if _, err := b.recognise(request(credential("ada", "swordfish"))); err != nil {
			t.Fatal(err)
		}
	}
	if n.Load() != 1 {
		t.Errorf("five requests cost %d hashes", n.Load())
	}
	for range 3 {
		_, _ = b.recognise(request(credential("ada", "wrong")))
	}
	if n.Load() != 4 || b.verified.Len() != 1 {
		t.Errorf("wrong passwords are remembered: %d hashes, %d remembered", n.Load(), b.verified.Len())
	}
}

func TestHashesAreComputedAFewAtATime(t *testing.T) {
	b, _ := counting(t)
	b.places <- struct{}{} // taken
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.recognise(request(credential("ada", "swordfish")).WithContext(exchangeOf(ctx))); err == nil || !strings.Contains(err.Error(), "client-gone") {
		t.Errorf("who left still waits: %v", err)
	}
}

func exchangeOf(ctx context.Context) context.Context {
	return exchange.With(httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx), &exchange.Exchange{}).Context()
}

func TestWhatWasSeenLivesOnAcrossReloadsUntilAPasswordChanges(t *testing.T) {
	k := keeper{}
	file := filepath.Join(t.TempDir(), "users")
	write := func(password string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("# staff\n\nada:"+hashed(t, password)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("swordfish")
	text := "basic: " + file
	first, err := way(t, k, text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Recognise(request(credential("ada", "swordfish"))); err != nil {
		t.Fatal(err)
	}
	if _, err := way(t, k, text); err != nil || len(k) != 1 {
		t.Errorf("a reload of the same makes %d books, %v", len(k), err)
	}
	write("another")
	changed, err := way(t, k, text)
	if err != nil || len(k) != 2 {
		t.Fatalf("a changed password makes %d books, %v", len(k), err)
	}
	if _, err := changed.Recognise(request(credential("ada", "swordfish"))); err == nil {
		t.Error("the password of before still counts")
	}
}

func TestWhatIsNoHashIsToldWithItsFix(t *testing.T) {
	t.Setenv("CUT", bcrypted[:20])
	for hash, want := range map[string]string{
		"swordfish":  "the password stands in the config itself",
		"${env:CUT}": "ada: ${env:CUT}: the bcrypt hash is cut",
		"$2y$31$abcdefghijklmnopqrstuu2E2lBHgsXGHAsuyuYNgjzGYvXhHvQ6e": "a cost of 31 is too much",
		"$apr1$x$y": "is of MD5 or SHA-1",
		"{SHA}abc":  "is of MD5 or SHA-1",
		"$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aaaa":                                   "only argon2id",
		"$argon2id$v=19$m=64,t=1$c2FsdHNhbHQ$aaaa":                                      "not of the form",
		"$argon2id$v=19$m=99999999,t=1,p=1$c2FsdHNhbHRzYWx0$" + strings.Repeat("A", 43): "is too much",
		"${env:NOT_SET_ANYWHERE}":                                                       "NOT_SET_ANYWHERE is not set",
	} {
		_, err := way(t, keeper{}, "basic: { ada: '"+hash+"' }")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "swordfish") {
			t.Errorf("%s: want %q, got %v", hash, want, err)
		}
	}
	if _, err := way(t, keeper{}, fmt.Sprintf("basic: { 'a:b': '%s' }", hashed(t, "x"))); err == nil || !strings.Contains(err.Error(), "has no colon") {
		t.Errorf("a name with a colon: %v", err)
	}
}

func FuzzHash(f *testing.F) {
	for _, seed := range []string{bcrypted, argonned, "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$c2FsdHNhbHRzYWx0c2FsdA", "{SHA}x", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parseHash(text)
		if err == nil && v.cost < 1<<14 {
			v.matches([]byte("x")) // must not panic
		}
	})
}
