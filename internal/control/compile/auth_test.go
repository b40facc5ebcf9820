package compile_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"golang.org/x/crypto/bcrypt"

	auths "github.com/weir-gateway/weir/internal/auth/all"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/compile"
	discoveries "github.com/weir-gateway/weir/internal/discovery/all"
	filters "github.com/weir-gateway/weir/internal/filter/all"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// signed are tokens of an issuer by the name of their algorithm, with its keys.
type signed struct {
	keys    []byte // a JWK Set
	private map[string]any
}

var issued = sync.OnceValue(func() signed {
	rsaKey, err1 := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edKey, err3 := ed25519.GenerateKey(rand.Reader)
	if err1 != nil || err2 != nil || err3 != nil {
		panic("no keys")
	}
	s := signed{private: map[string]any{"RS256": rsaKey, "ES256": ecKey, "EdDSA": edKey}}
	set := jwk.NewSet()
	for _, private := range s.private {
		public, err := jwk.PublicKeyOf(private)
		if err != nil {
			panic(err)
		}
		if err := set.AddKey(public); err != nil {
			panic(err)
		}
	}
	var err error
	if s.keys, err = json.Marshal(set); err != nil {
		panic(err)
	}
	return s
})

// token is one for ada of an issuer.
func token(t testing.TB, issuer, algorithm string) string {
	t.Helper()
	alg, _ := jwa.LookupSignatureAlgorithm(algorithm)
	claims, err := json.Marshal(map[string]any{
		"iss": issuer, "aud": "shop", "sub": "ada", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "jti": "01980f0a-5a1c-7c1e-9a7e-3a6c2f8e1d55",
		"scope": "openid profile orders:read orders:write", "azp": "web", "email": "ada@example.com", "realm_access": map[string]any{"roles": []string{"customer", "uma_authorization"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.Sign(claims, jws.WithKey(alg, issued().private[algorithm]))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// keyServer is an issuer's, with the number of its answers; down makes it fail.
func keyServer(t *testing.T) (url string, asked *atomic.Int64, down *atomic.Bool) {
	t.Helper()
	asked, down = new(atomic.Int64), new(atomic.Bool)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = w.Write(issued().keys)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked, down
}

func (w *world) withAuth() *world {
	w.parts.Auths = auths.Definitions()
	w.parts.Filters = filters.Definitions()
	w.compiler.Close(context.Background())
	w.compiler = compile.New(w.parts, compile.Options{Log: slog.New(slog.DiscardHandler), Secret: secret.Resolve})
	return w
}

// TestTheFirstRequestFindsTheKeys holds that a config serves when the keys of its issuers
// are there, and that a reload that changes other things asks nobody.
func TestTheFirstRequestFindsTheKeys(t *testing.T) {
	w := newWorld(t).withAuth()
	url, asked, down := keyServer(t)
	text := "auth: { customer: { jwt: x, jwks: '" + url + "', audience: shop } }\nroutes:\n  GET /a: { auth: customer, respond: 204 }\n"
	bearer := "Bearer " + token(t, "x", "ES256")
	w.serve(w.load(text))
	if got := w.get("/a", "Authorization", bearer); got.Code != 204 || asked.Load() != 1 {
		t.Errorf("%d after %d fetches", got.Code, asked.Load())
	}
	down.Store(true)
	w.serve(w.load(text + "  GET /b: { auth: customer | anonymous, respond: 204 }\n"))
	for _, path := range []string{"/a", "/b"} {
		if got := w.get(path, "Authorization", bearer); got.Code != 204 || asked.Load() != 1 {
			t.Errorf("%s after a reload: %d after %d fetches", path, got.Code, asked.Load())
		}
	}
}

// TestAnIssuerThatIsDownCostsItsOwnRoutesOnly holds that nothing is served unchecked, and
// that nobody else waits.
func TestAnIssuerThatIsDownCostsItsOwnRoutesOnly(t *testing.T) {
	w := newWorld(t).withAuth()
	url, _, _ := keyServer(t)
	broken, _, down := keyServer(t)
	down.Store(true)
	w.serve(w.load("auth:\n  customer: { jwt: x, jwks: '" + url + "', audience: shop }\n  other: { jwt: y, jwks: '" + broken + "', audience: shop }\n" +
		"routes:\n  GET /a: { auth: customer, respond: 204 }\n  GET /b: { auth: other, respond: 204 }\n  GET /c: { auth: other | customer, respond: 204 }\n"))
	for _, c := range []struct {
		path, issuer string
		want         int
	}{{"/a", "x", 204}, {"/a", "y", 401}, {"/b", "y", 503}, {"/b", "x", 401}, {"/c", "x", 204}, {"/c", "y", 503}} {
		if got := w.get(c.path, "Authorization", "Bearer "+token(t, c.issuer, "EdDSA")); got.Code != c.want {
			t.Errorf("%s with a token of %s: %d, not %d: %s", c.path, c.issuer, got.Code, c.want, got.Body)
		}
	}
	if got := w.get("/b"); got.Code != 401 || got.Header().Get("Www-Authenticate") == "" {
		t.Errorf("without a token: %d", got.Code)
	}
}

// TestAMistakeInAuthIsToldOnce holds that routes that name a broken way add nothing.
func TestAMistakeInAuthIsToldOnce(t *testing.T) {
	w := newWorld(t).withAuth()
	cfg := w.load("auth: { partner: { keys: { acme: 'plain-0123456789abcdef' } } }\nroutes:\n  GET /a: { auth: partner, respond: 204 }\n  GET /b: { auth: partner, respond: 204 }\n")
	pending, problems := w.compiler.Compile(cfg, "digest")
	if pending != nil || len(problems) != 1 || !strings.Contains(problems[0].String(), `auth "partner"; acme: the key stands in the config itself`) {
		t.Errorf("%v", problems)
	}
}

// TestIdentityFieldsAreTheGatewaysOnEveryRoute holds it for trailers too.
func TestIdentityFieldsAreTheGatewaysOnEveryRoute(t *testing.T) {
	w := newWorld(t).withAuth()
	head := make(chan http.Header, 1)
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for name, values := range r.Trailer {
			r.Header["Trailer "+name] = values
		}
		head <- r.Header
	}))
	t.Cleanup(backend.Close)
	t.Setenv("ACME_KEY", "acme-0123456789abcdef")
	w.serve(w.load("auth: { partner: { keys: { acme: '${env:ACME_KEY}' }, forward: { headers: { X-User: =auth.sub, X-Forwarded-Groups: \"='a'\" } } } }\n" +
		"routes:\n  POST /open: " + backend.URL + "\n  POST /known: { auth: partner, to: '" + backend.URL + "' }\n"))
	for path, want := range map[string]string{"/open": "", "/known": "acme"} {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("body"))
		r.Header = http.Header{
			"X-Api-Key": {"acme-0123456789abcdef"}, "X-User": {"admin"}, "x_user": {"admin"}, "X.User": {"admin"}, "X-Forwarded-Groups": {"admin"}, "X_Forwarded_Groups": {"admin"}, "X-Users": {"kept"},
		}
		r.ContentLength = -1
		r.Trailer = http.Header{"X-User": {"admin"}, "X_user": {"admin"}, "X-Sum": {"1"}}
		answer := httptest.NewRecorder()
		w.gateway.Handler(":8080").ServeHTTP(answer, r)
		h := <-head
		if got := h.Get("X-User"); got != want || spellings(h, "xuser") > min(len(want), 1) || spellings(h, "xforwardedgroups") > min(len(want), 1) || h.Get("X-Users") != "kept" {
			t.Errorf("%s: the backend is told %q: %v", path, got, h)
		}
		if h.Get("X-Forwarded-Groups") != map[string]string{"": "", "acme": "a"}[want] || len(h["Trailer X-User"]) > 0 || len(h["Trailer X-Sum"]) == 0 {
			t.Errorf("%s: %v", path, h)
		}
	}
}

// TestOneTeamsFieldIsNoOthers holds that what a group calls a field is dropped on its own
// routes and on those of nobody, and left alone on those of other groups.
func TestOneTeamsFieldIsNoOthers(t *testing.T) {
	w := newWorld(t).withAuth()
	head := make(chan http.Header, 1)
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { head <- r.Header }))
	t.Cleanup(backend.Close)
	w.serve(w.load("auth: { all: { mtls: any, forward: { headers: { X-All: =auth.sub } } } }\n" +
		"groups:\n  a:\n    reach: 127.0.0.0/8\n    auth: { own: { mtls: any, forward: { headers: { X-Tenant: =auth.sub }, jwt: { header: X-Identity } } } }\n    routes:\n      GET /a: " + backend.URL +
		"\n  b:\n    reach: 127.0.0.0/8\n    routes:\n      GET /b: " + backend.URL + "\nroutes:\n  GET /c: " + backend.URL + "\n"))
	for path, kept := range map[string]bool{"/a": false, "/b": true, "/c": false} {
		w.get(path, "X-Tenant", "t", "X-Identity", "i", "X-All", "x", "X-Free", "f")
		h := <-head
		if (h.Get("X-Tenant") == "t") != kept || (h.Get("X-Identity") == "i") != kept || h.Get("X-All") != "" || h.Get("X-Free") != "f" {
			t.Errorf("%s: %v", path, h)
		}
	}
	// A route that was there before the field was named loses it too.
	w.serve(w.load("groups:\n  b:\n    reach: 127.0.0.0/8\n    auth: { own: { mtls: any, forward: { headers: { X-Tenant: =auth.sub } } } }\n    routes:\n      GET /b: " + backend.URL + "\n"))
	w.get("/b", "X-Tenant", "t", "X-All", "x")
	if h := <-head; h.Get("X-Tenant") != "" || h.Get("X-All") != "x" {
		t.Errorf("/b after a reload: %v", h)
	}
}

// TestCredentialsAreNotTakenAway refuses ways whose credential's field is one that backends are told of
// callers by: it is taken from clients before anybody looks at it.
func TestCredentialsAreNotTakenAway(t *testing.T) {
	const asks, tells = "keys: { x: '${env:ACME_KEY}' }, from: header:X-Id", "mtls: any, forward: { headers: { x_id: =auth.sub } }"
	group := func(name, way string) string {
		return "  " + name + ":\n    auth: { " + name + ": { " + way + " } }\n    routes: { GET /" + name + ": respond:ok }\n"
	}
	t.Setenv("ACME_KEY", "acme-0123456789abcdef")
	for name, c := range map[string]struct{ text, want string }{
		"by another way":          {"auth:\n  a: { " + asks + " }\n  b: { " + tells + " }\n", `3:3: nobody could pass by auth "a"; its credentials stand in X-Id, which is taken from clients, for auth "b" tells backends there who is calling`},
		"by itself":               {"auth:\n  a: { " + asks + ", forward: { token: true, jwt: { header: X-ID } } }\n", `3:3: nobody could pass by auth "a"`},
		"by a group":              {"auth:\n  a: { " + asks + " }\ngroups:\n" + group("b", tells), `6:13: nobody could pass by auth "a"`},
		"by nobody's, in a group": {"auth:\n  b: { " + tells + " }\ngroups:\n" + group("a", asks), `6:13: nobody could pass by auth "a"`},
		"by another group":        {"groups:\n" + group("a", asks) + group("b", tells), ""},
		"in other places":         {"auth:\n  a: { keys: { x: '${env:ACME_KEY}' }, from: [cookie:X-Id, query:X-Id, header:X-Ids] }\n  b: { " + tells + " }\n", ""},
		"in the Authorization":    {"auth:\n  a: { jwt: x, audience: y, secret: '${env:LONG_KEY}', forward: { jwt: {} } }\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("LONG_KEY", strings.Repeat("acme-0123456789abcdef", 2))
			w := newWorld(t).withAuth()
			pending, problems := w.compiler.Compile(w.load(c.text+"routes: { GET /: respond:ok }\n"), "digest")
			if pending != nil {
				pending.Commit()(context.Background())
			}
			got := lines(problems)
			if refused := pending == nil; refused != (c.want != "") || refused && (len(got) != 1 || !strings.Contains(got[0], ":"+c.want)) {
				t.Errorf("%v", got)
			}
		})
	}
}

// TestBackendsGetTokensOfTheGateway holds that they are checked with what the snapshot
// publishes, and that a reload keeps the key.
func TestBackendsGetTokensOfTheGateway(t *testing.T) {
	w := newWorld(t).withAuth()
	got := make(chan string, 1)
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("Authorization") }))
	t.Cleanup(backend.Close)
	t.Setenv("ACME_KEY", "acme-0123456789abcdef")
	text := "auth: { partner: { keys: { acme: '${env:ACME_KEY}' }, forward: { jwt: { audience: orders } } } }\nroutes:\n  GET /: { auth: partner, to: '" + backend.URL + "' }\n"
	w.serve(w.load(text))
	first := w.gateway.Current().PublicKeys
	w.serve(w.load(text + "  GET /other: respond:204\n"))
	keys := w.gateway.Current().PublicKeys
	if len(first) != 1 || len(keys) != 1 || !bytes.Equal(first[0], keys[0]) {
		t.Errorf("a reload changes the key: %s, %s", first, keys)
	}
	w.get("/", "X-Api-Key", "acme-0123456789abcdef", "Authorization", "Bearer forged")
	bearer, _ := strings.CutPrefix(<-got, "Bearer ")
	key, err := jwk.ParseKey(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	payload, err := jws.Verify([]byte(bearer), jws.WithKey(jwa.ES256(), key))
	if err != nil || !strings.Contains(string(payload), `"sub":"acme"`) {
		t.Errorf("%s, %v", payload, err)
	}
}

// spellings counts the fields that some backend could take for one name.
func spellings(h http.Header, folded string) int {
	n := 0
	for name := range h {
		if strings.EqualFold(strings.NewReplacer("-", "", "_", "", ".", "").Replace(name), folded) {
			n++
		}
	}
	return n
}

// BenchmarkAuth measures a whole route without a backend, with and without the ways of
// recognising callers. The difference to `none` is what they cost.
func BenchmarkAuth(b *testing.B) {
	hash, err := bcrypt.GenerateFromPassword([]byte("swordfish"), bcrypt.DefaultCost)
	if err != nil {
		b.Fatal(err)
	}
	b.Setenv("ACME_KEY", "acme-0123456789abcdef")
	b.Setenv("ADA_HASH", string(hash))
	jwt := func(more string) string {
		return fmt.Sprintf("{ jwt: x, audience: shop, jwks: '%s'%s }", issued().keys, more)
	}
	for _, c := range []struct{ name, way, field, value string }{
		{"none", "", "Authorization", "Bearer " + token(b, "x", "ES256")},
		{"keys", "{ keys: { acme: '${env:ACME_KEY}' } }", "X-Api-Key", "acme-0123456789abcdef"},
		{"basic", "{ basic: { ada: '${env:ADA_HASH}' } }", "Authorization", "Basic YWRhOnN3b3JkZmlzaA=="},
		{"RS256", jwt(""), "Authorization", "Bearer " + token(b, "x", "RS256")},
		{"ES256", jwt(""), "Authorization", "Bearer " + token(b, "x", "ES256")},
		{"EdDSA", jwt(""), "Authorization", "Bearer " + token(b, "x", "EdDSA")},
		{"cold-RS256", jwt(", remember: 0"), "Authorization", "Bearer " + token(b, "x", "RS256")},
		{"cold-ES256", jwt(", remember: 0"), "Authorization", "Bearer " + token(b, "x", "ES256")},
		{"cold-EdDSA", jwt(", remember: 0"), "Authorization", "Bearer " + token(b, "x", "EdDSA")},
	} {
		b.Run(c.name, func(b *testing.B) {
			text := "listen: :8080\nroutes:\n  GET /orders:\n    respond: 204\n"
			if c.way != "" {
				text += "    auth: caller\nauth:\n  caller: " + c.way + "\n"
			}
			handler := served(b, text)
			r := httptest.NewRequest(http.MethodGet, "/orders", nil)
			for name, value := range map[string]string{"Accept": "application/json", "User-Agent": "bench", "Accept-Encoding": "gzip", c.field: c.value} {
				r.Header.Set(name, value)
			}
			w := &discard{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				w.status = 0
				clear(w.header)
				r.Header.Set(c.field, c.value)
				handler.ServeHTTP(w, r)
				if w.status != http.StatusNoContent {
					b.Fatal(w.status)
				}
			}
		})
	}
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// served is a gateway's handler for a config.
func served(b *testing.B, text string) http.Handler {
	b.Helper()
	parts := compile.Parts{Filters: filters.Definitions(), Providers: discoveries.Definitions(), Auths: auths.Definitions()}
	result := config.Load([]config.Source{{Path: "weir.yaml", Data: []byte(text)}}, parts.Vocabulary())
	if result.Config == nil {
		b.Fatal(result.Problems)
	}
	log := slog.New(slog.DiscardHandler)
	compiler := compile.New(parts, compile.Options{Log: log, Secret: secret.Resolve})
	b.Cleanup(func() { compiler.Close(context.Background()) })
	pending, problems := compiler.Compile(result.Config, "digest")
	if pending == nil {
		b.Fatal(problems)
	}
	gateway := snapshot.NewGateway(snapshot.Options{
		Log: log, Connection: func(context.Context) *exchange.Connection {
			return &exchange.Connection{Peer: netip.MustParseAddrPort("192.0.2.1:4000")}
		},
	})
	gateway.Swap(pending.Snapshot)
	pending.Commit()(context.Background())
	return gateway.Handler(":8080")
}

// TestMaterialThatIsNoGoodIsToldWhereItIsNamed holds that what keys, files and variables
// hold is told with the line that names them, each for itself.
func TestMaterialThatIsNoGoodIsToldWhereItIsNamed(t *testing.T) {
	w := newWorld(t).withAuth()
	for name, text := range map[string]string{
		"keys.json": `{"keys":[]}`, "ca.pem": "no PEM", "identity.pem": "-----BEGIN NOTHING-----\n-----END NOTHING-----\n", "users": "# staff\nada:$2y$10$cut\nbob:\n",
	} {
		if err := os.WriteFile(filepath.Join(w.folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SHORT", "short")
	cfg := w.load(`auth:
  a: { jwt: https://id.example.com/, audience: x, jwks: keys.json }
  b:
    jwt: https://id.example.com/
    audience: x
    ca: ca.pem
  c:
    jwt: x
    audience: y
    secret: ${env:SHORT}
  d:
    keys:
      acme: ${env:SHORT}
      globex: [sha256:12, "${env:WEIR_TEST_NEVER_SET}"]
  e: { basic: users }
  f:
    basic: { eve: secret }
  g:
    mtls: any
    forward: { jwt: { key: identity.pem } }
routes:
  GET /: respond:ok
`)
	pending, problems := w.compiler.Compile(cfg, "")
	if pending != nil {
		t.Fatal("it serves")
	}
	path := filepath.Join(w.folder, "weir.yaml")
	got := lines(problems)
	for _, want := range []string{
		`3:57: auth "a"; ${file:keys.json}: there is no usable key in it`,
		`7:9: auth "b"; ${file:ca.pem}: ca: it holds no certificate in PEM form`,
		`11:13: auth "c"; ${env:SHORT}: a secret of 5 bytes; HS256 needs 32, HS384 48 and HS512 64`,
		`14:13: auth "d"; acme: ${env:SHORT}: the key has 5 characters; one of less than 16 could be guessed; make a longer one, as ` + "`openssl rand -hex 32`" + ` does`,
		`15:16: auth "d"; globex: sha256: is followed by the 64 hexadecimal digits of a digest; ` + "`printf %s KEY | sha256sum`" + ` gives them`,
		`15:27: auth "d"; globex: environment variable WEIR_TEST_NEVER_SET is not set or empty`,
		`16:15: auth "e"; ${file:users}: line 2: the bcrypt hash is cut or misspelt; it has 60 characters`,
		`16:15: auth "e"; ${file:users}: line 3: `,
		`18:19: auth "f"; eve: the password stands in the config itself`,
		`21:28: auth "g"; ${file:identity.pem}: `,
	} {
		if !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, path+":"+want) && !strings.Contains(line, "\n") }) {
			t.Errorf("want %s", want)
		}
	}
	if t.Failed() || len(got) != 10 {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}
