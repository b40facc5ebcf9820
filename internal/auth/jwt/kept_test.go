package jwt

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/shelf"
)

// lives is one life of a gateway after the other, with one shelf and one issuer.
type lives struct {
	t      *testing.T
	server server
	folder string
	log    bytes.Buffer // read only while nothing runs
	shelf  *shelf.Shelf
	place  *shelf.Place
	*verifier
}

// inLives runs a test in time of its own.
func inLives(t *testing.T, test func(l *lives)) {
	t.Helper()
	issued() // outside, for it takes long
	stranger()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := &lives{t: t, folder: folder, server: server{keys: allIssued()}}
		l.begin()
		defer func() { l.end() }()
		test(l)
	})
}

func (l *lives) begin() {
	l.t.Helper()
	log := slog.New(slog.NewTextHandler(&l.log, nil))
	var err error
	if l.shelf, err = shelf.New(l.folder, log); err != nil {
		l.t.Fatal(err)
	}
	l.place = l.shelf.Place("keys", issuer, 24*time.Hour)
	k := kept{l.place, publicAlgorithms(), log}
	l.verifier = &verifier{
		headers: newHeaders(), policy: policy{way: "customer", issuer: issuer, audience: []string{"shop"}, types: usualTypes(), allowed: publicAlgorithms(), leeway: time.Minute, subject: "sub"},
		places: []auth.Place{auth.AuthorizationOf("Bearer")}, seen: auth.NewMemory[auth.Digest, seen](100),
		live: start(sourced{fetch: l.server.fetch, issuer: issuer, stale: 24 * time.Hour, before: k.last(), keep: k.put, log: log}),
	}
	synctest.Wait()
}

func (l *lives) end() {
	l.shelf.Close(context.Background())
	l.live.close(context.Background())
	l.place.Close()
}

// again is a restart.
func (l *lives) again() {
	l.t.Helper()
	l.end()
	l.log.Reset()
	l.begin()
}

func (l *lives) wait(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the bubble's time
	synctest.Wait()
}

// files are what lies on the shelf, all in one.
func files(t testing.TB, folder string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// TestAStartWhileTheIssuerIsDownChecksByTheKeysOfBefore holds what passes and what does
// not, of each kind of key, and for how long.
func TestAStartWhileTheIssuerIsDownChecksByTheKeysOfBefore(t *testing.T) {
	inLives(t, func(l *lives) {
		algorithms := map[string]string{"rsa": "RS512", "ps": "PS256", "p256": "ES256", "p384": "ES384", "p521": "ES512", "ed": "EdDSA"}
		began := time.Now()
		l.server.set(func() { l.server.err = errDown }) // after the first fetch
		l.wait(20 * time.Hour)
		l.again()
		if !strings.Contains(l.log.String(), "those of before the start") {
			l.t.Errorf("the log tells:\n%s", l.log.String())
		}
		if h := l.live.heard(); !h.Kept || h.Count != len(algorithms) || h.Err == nil || !h.Confirmed.Equal(began) || !h.Until.Equal(began.Add(24*time.Hour)) {
			l.t.Errorf("it stands so: %+v", h)
		}
		for name, alg := range algorithms {
			want(l.t, l.verifier, good(name, alg), "passes")
		}
		want(l.t, l.verifier, good("ps", "PS512"), "auth-unavailable") // its alg is pinned as it was, but there may be another by now
		want(l.t, l.verifier, good("rsa", "RS256", "exp", time.Now().Unix()-3600), "invalid_token")
		want(l.t, l.verifier, good("rsa", "RS256", "aud", "other"), "invalid_token")
		for name, forger := range stranger() {
			alg := algorithms[name]
			want(l.t, l.verifier, sealed(encode(map[string]any{"alg": alg, "kid": name}), claims(), by(alg, forger)), "invalid_token")
		}
		// A key that nobody knows may be one that came since.
		want(l.t, l.verifier, sealed(encode(map[string]any{"alg": "EdDSA", "kid": "new"}), claims(), by("EdDSA", stranger()["ed"])), "auth-unavailable")

		l.wait(3 * time.Hour)
		l.again() // another start makes them no younger
		want(l.t, l.verifier, good("ed", "EdDSA"), "passes")
		l.wait(time.Hour)
		want(l.t, l.verifier, good("ed", "EdDSA"), "passes")
		l.wait(time.Second)
		want(l.t, l.verifier, good("ed", "EdDSA"), "auth-unavailable")
		l.again()
		want(l.t, l.verifier, good("ed", "EdDSA"), "auth-unavailable")
		if l.live.heard().Kept {
			l.t.Error("keys that are too old were taken at a start")
		}
		l.server.set(func() { l.server.err = nil })
		l.wait(lastRetry)
		want(l.t, l.verifier, good("ed", "EdDSA"), "passes")
	})
}

// TestWhatTheIssuerSaysReplacesTheKeysOfBefore holds that a key which was withdrawn while
// the gateway was down counts no longer once the issuer answers, for tokens that were
// checked meanwhile too.
func TestWhatTheIssuerSaysReplacesTheKeysOfBefore(t *testing.T) {
	inLives(t, func(l *lives) {
		l.server.set(func() { l.server.err = errDown })
		l.again()
		byRSA, byEd := good("rsa", "RS256"), good("ed", "EdDSA")
		want(l.t, l.verifier, byRSA, "passes")
		want(l.t, l.verifier, byEd, "passes")
		l.server.set(func() { l.server.err, l.server.keys = nil, set(issued()["ed"]) })
		l.wait(lastRetry)
		want(l.t, l.verifier, byRSA, "invalid_token")
		want(l.t, l.verifier, byEd, "passes")
		if h := l.live.heard(); h.Kept || h.Count != 1 || h.Err != nil {
			l.t.Errorf("it stands so: %+v", h)
		}
		l.server.set(func() { l.server.err = errDown })
		l.again()
		want(l.t, l.verifier, byRSA, "auth-unavailable") // nobody can tell whether there is such a key
		want(l.t, l.verifier, byEd, "passes")
	})
}

// TestALieIsNotKept holds that what an issuer sends in place of keys replaces none on disk.
func TestALieIsNotKept(t *testing.T) {
	inLives(t, func(l *lives) {
		l.wait(time.Minute)
		before := files(l.t, l.folder)
		for _, lie := range []string{"", "<html>", `{"keys":[]}`, `{"keys":[{"kty":"oct","k":"AAAA"}]}`} {
			l.server.set(func() { l.server.keys = []byte(lie) })
			l.wait(usual + lastRetry)
		}
		if after := files(l.t, l.folder); after != before {
			l.t.Errorf("from\n%s\nit became\n%s", before, after)
		}
	})
}

// TestNothingSecretIsWritten holds it for what an issuer sends by mistake, and that the
// encoder itself refuses.
func TestNothingSecretIsWritten(t *testing.T) {
	inLives(t, func(l *lives) {
		leaked := jwkOf("leaked", "", newRSA(2048).Public())
		leaked["d"], leaked["p"] = "cHJpdmF0ZQ", "cHJpbWU"
		l.server.set(func() {
			l.server.keys = encode(map[string]any{"keys": []any{
				jwkOf("p256", "", issued()["p256"].Private.Public()), leaked,
				map[string]any{"kty": "oct", "kid": "secret", "k": "c3dvcmRmaXNo"},
				map[string]any{"kty": "EC", "crv": "P-256", "kid": "other", "use": "enc", "x": "AA", "y": "AA"},
			}, "more": "c2VjcmV0"})
		})
		l.wait(usual + time.Minute)
		kept := files(l.t, l.folder)
		if !strings.Contains(kept, `"kid": "p256"`) {
			l.t.Fatalf("what is public is not kept:\n%s", kept)
		}
		for _, text := range []string{"cHJpdmF0ZQ", "cHJpbWU", "c3dvcmRmaXNo", "c2VjcmV0", `"d"`, `"k"`, "leaked", "other"} {
			if strings.Contains(kept, text) {
				l.t.Errorf("%s is on disk:\n%s", text, kept)
			}
		}
	})
	private := issued()["rsa"].Private
	for name, raw := range map[string]any{"a secret": []byte("01234567890123456789012345678901"), "a private key": private, "an Ed25519 one": issued()["ed"].Private, "a value": *private.Public().(*rsa.PublicKey)} {
		if text, err := (&keySet{keys: []*key{{kid: "a", raw: raw}}}).encode(); err == nil {
			t.Errorf("%s is written: %s", name, text)
		}
	}
}

// TestKeysAreReadAsTheyWereWritten holds that what was checked with a key goes on, for the
// key that is read is the same one.
func TestKeysAreReadAsTheyWereWritten(t *testing.T) {
	for _, allowed := range [][]string{publicAlgorithms(), {"RS256", "ES256"}, {"RS256", "PS512", "EdDSA", "ES384"}} {
		set, _, err := parseSet(allIssued(), allowed)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := set.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, problems, err := parseSet(raw, allowed)
		if err != nil || len(problems) > 0 || len(again.keys) != len(set.keys) {
			t.Fatalf("%v, %v\n%s", err, problems, raw)
		}
		for i, k := range set.keys {
			if read := again.keys[i]; read.print != k.print {
				t.Errorf("with %q the key %s for %q is one for %q", allowed, k.kid, k.algorithms, read.algorithms)
			}
		}
	}
}

// restarts is a config's life after life over real sockets.
type restarts struct {
	t      *testing.T
	folder string
}

// token tells what becomes of a token in a process that has this config.
func (r restarts) token(text, token string) string {
	r.t.Helper()
	s, err := shelf.New(r.folder, slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}
	k := newKeeper(r.t)
	e := env(r.t, k)
	e.Shelf = s
	w, err := Definition().Build(e, configOf(r.t, text))
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = w.Recognise(request(token))
	s.Close(context.Background())
	if err != nil {
		return err.Error()
	}
	return "passes"
}

// TestAConfigTakesItsOwnIssuersKeysAlone holds what a kept set is bound to.
func TestAConfigTakesItsOwnIssuersKeysAlone(t *testing.T) {
	var down atomic.Bool
	guard := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if down.Load() {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			h(w, r)
		}
	}
	s := provider(t, false, func(mux *http.ServeMux, url func() string) {
		mux.HandleFunc("/.well-known/openid-configuration", guard(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, url(), url()+"/keys")
		}))
		mux.HandleFunc("/", guard(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(allIssued()) }))
	})
	r := restarts{t, t.TempDir()}
	discovered := "jwt: " + s.URL + "\naudience: shop\n"
	token, other := good("rsa", "RS256", "iss", s.URL), good("rsa", "RS256", "iss", s.URL+"/other")
	if got := r.token(discovered, token); got != "passes" {
		t.Fatal(got)
	}
	down.Store(true)
	for name, c := range map[string]struct{ config, token, want string }{
		"the same":                    {discovered, token, "passes"},
		"another bound of age":        {discovered + "stale: 48h\n", token, "passes"},
		"another audience and leeway": {discovered + "leeway: 2m\n", token, "passes"},
		"another issuer":              {"jwt: " + s.URL + "/other\naudience: shop\n", other, "503"},
		"another place of its keys":   {discovered + "jwks: " + s.URL + "/more\n", token, "503"},
		"other algorithms":            {discovered + "algorithms: RS256\n", token, "503"},
		"another authority":           {discovered + "ca: " + authority(t) + "\n", token, "503"},
	} {
		if got := r.token(c.config, c.token); c.want == "passes" && got != "passes" || c.want != "passes" && !strings.Contains(got, "auth-unavailable") {
			t.Errorf("%s: %s, not %s", name, got, c.want)
		}
	}
}

// authority gives the path of some CA.
func authority(t *testing.T) string {
	t.Helper()
	s := provider(t, true, func(*http.ServeMux, func() string) {})
	path := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestFixedKeysAreNotKept holds that what the config itself has, secrets above all, is
// not written elsewhere.
func TestFixedKeysAreNotKept(t *testing.T) {
	t.Setenv("JWT_SECRET", strings.Repeat("swordfish ", 10))
	r := restarts{t, t.TempDir()}
	for _, more := range []string{"secret: '${env:JWT_SECRET}'", "jwks: '" + string(allIssued()) + "'"} {
		_ = r.token("jwt: "+issuer+"\naudience: shop\n"+more, good("rsa", "RS256"))
	}
	if kept := files(t, r.folder); kept != "" {
		t.Errorf("on disk is\n%s", kept)
	}
}
