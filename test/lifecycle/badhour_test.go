//go:build linux

package lifecycle_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

// identityProvider is an issuer with OIDC discovery and one key.
type identityProvider struct {
	*httptest.Server

	private ed25519.PrivateKey
}

func startIdentityProvider(t *testing.T) *identityProvider {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &identityProvider{private: private}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": %q}`, p.URL, p.URL+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": %q}]}`, base64.RawURLEncoding.EncodeToString(public))
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// token returns a token that expires after d, signed by private.
func (p *identityProvider) token(d time.Duration, private ed25519.PrivateKey) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	input := part(`{"alg": "EdDSA", "kid": "one"}`) + "." +
		part(fmt.Sprintf(`{"iss": %q, "aud": "shop", "sub": "ada", "exp": %d}`, p.URL, time.Now().Add(d).Unix()))
	return input + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(private, []byte(input)))
}

func statusWith(t *testing.T, url, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Close = true // no process should wait for the connection
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// heard is what the status reports about an outside source.
type heard struct {
	Kind, Of  string
	Count     int
	Confirmed time.Time
	Kept      bool
	Problem   string
}

func heardOf(t *testing.T, g *weirtest.Gateway) heard {
	t.Helper()
	var status struct{ Heard []heard }
	if err := json.Unmarshal([]byte(get(t, "http://"+g.Admin+"/v1/status")), &status); err != nil {
		t.Fatal(err)
	}
	if len(status.Heard) != 1 {
		t.Fatalf("the status tells of %+v", status.Heard)
	}
	return status.Heard[0]
}

// onShelf returns the files that hold what was heard from outside.
func onShelf(t *testing.T, state string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(state, "*", "shelf", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestARestartInABadHourServes kills the identity provider and the gateway, breaks the config file, and starts the
// gateway again. Callers that were admitted before are admitted, and nobody else.
func TestARestartInABadHourServes(t *testing.T) {
	p := startIdentityProvider(t)
	folder := t.TempDir()
	state := filepath.Join(folder, "state")
	path := filepath.Join(folder, "weir.yaml")
	text := "listen: :8080\nauth:\n  customer: { jwt: '" + p.URL + "', audience: shop }\nroutes:\n  GET /: { auth: customer, respond: 204 }\n"
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(path, text)
	start := func() *weirtest.Gateway {
		t.Helper()
		g := weirtest.Start(t, path, "--state", state)
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("weir says:\n%s", g.Log())
			}
		})
		return g
	}
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	valid, forged, expired := p.token(time.Hour, p.private), p.token(time.Hour, stranger), p.token(-time.Hour, p.private)
	admits := func(g *weirtest.Gateway, when string, ofValid, ofForged int) {
		t.Helper()
		for _, c := range []struct {
			what, token string
			want        int
		}{{"a valid token", valid, ofValid}, {"a forged one", forged, ofForged}, {"an expired one", expired, http.StatusUnauthorized}} {
			if got := statusWith(t, "http://"+g.Address+"/", c.token); got != c.want {
				t.Errorf("%s %s gets %d, not %d", when, c.what, got, c.want)
			}
		}
	}

	g := start()
	admits(g, "at first", http.StatusNoContent, http.StatusUnauthorized)
	if h := heardOf(t, g); h.Kind != "keys" || h.Of != p.URL || h.Count != 1 || h.Kept || h.Confirmed.IsZero() {
		t.Errorf("at first it stands so: %+v", h)
	}
	await.That(t, "the keys are on disk", func() bool { return len(onShelf(t, state)) == 1 })
	g.Kill()
	p.Close()
	write(path, text+"nonsense: 1\n")

	g = start()
	admits(g, "in the bad hour", http.StatusNoContent, http.StatusUnauthorized)
	await.That(t, "nobody tells keys", func() bool { return heardOf(t, g).Problem != "" }) // the start does not wait for that
	if h := heardOf(t, g); !h.Kept || h.Count != 1 || time.Since(h.Confirmed) > time.Hour {
		t.Errorf("in the bad hour it stands so: %+v", h)
	}
	command := exec.CommandContext(t.Context(), weirtest.Binary(t), "status", "--admin", g.Admin)
	out, _ := command.CombinedOutput() // exit code 2: what serves is not what the file says
	if !regexp.MustCompile(`(?m)^keys +` + p.URL + `: 1 from before the start, last confirmed .*, valid until .*: .*refused`).Match(out) {
		t.Errorf("weir status says\n%s", out)
	}
	metrics := get(t, "http://"+g.Admin+"/metrics")
	for _, want := range []string{`weir_keys_fetches_total{issuer="` + p.URL + `",result="failed"} [1-9]`, `weir_keys_known{issuer="` + p.URL + `"} 1`, `weir_keys_fetched_timestamp_seconds{issuer="` + p.URL + `"} [1-9]`} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(metrics) {
			t.Errorf("there is no metric %s", want)
		}
	}
	g.Stop(t)

	// As if the keys were last fetched a day ago.
	file := onShelf(t, state)[0]
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if private := base64.RawURLEncoding.EncodeToString(p.private.Seed()); strings.Contains(string(kept), private) {
		t.Error("the private key is on disk")
	}
	day := time.Now().Add(-24*time.Hour - time.Second).UTC().Format(time.RFC3339)
	old := regexp.MustCompile(`"confirmed": "[^"]*"`).ReplaceAllString(string(kept), `"confirmed": "`+day+`"`)
	write(file, old)
	g = start()
	admits(g, "a day later", http.StatusServiceUnavailable, http.StatusServiceUnavailable)
	await.That(t, "what is too old is removed", func() bool { return len(onShelf(t, state)) == 0 })
	g.Stop(t)

	// A file that others could have written is not trusted.
	write(file, string(kept))
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	g = start()
	admits(g, "with a file that others may write", http.StatusServiceUnavailable, http.StatusServiceUnavailable)
	await.That(t, "the log tells of it", func() bool { return strings.Contains(g.Log(), "it is as if there were nothing") })
}

// TestWhatIsKeptIsHandedOver checks that nothing is lost when the old process ends.
func TestWhatIsKeptIsHandedOver(t *testing.T) {
	p := startIdentityProvider(t)
	state, path := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "weir.yaml")
	text := "listen: :8080\nauth: { customer: { jwt: '" + p.URL + "', audience: shop } }\nroutes:\n  GET /: { auth: customer, respond: 204 }\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g := weirtest.Start(t, path, "--state", state)
	await.That(t, "the keys are on disk", func() bool { return len(onShelf(t, state)) == 1 })
	before := g.Upgrade(t)
	await.That(t, "the process before has ended", func() bool { return weirtest.Gone(before) })
	if n := len(onShelf(t, state)); n != 1 {
		t.Errorf("there are %d files", n)
	}
	p.Close()
	g.Kill()
	g = weirtest.Start(t, path, "--state", state)
	if got := statusWith(t, "http://"+g.Address+"/", p.token(time.Hour, p.private)); got != http.StatusNoContent {
		t.Errorf("it answers %d:\n%s", got, g.Log())
	}
}

// TestAReadOnlyMachineServesWithoutAStateFolder also checks that weir logs this once.
func TestAReadOnlyMachineServesWithoutAStateFolder(t *testing.T) {
	p := startIdentityProvider(t)
	folder := t.TempDir()
	path, blocked := filepath.Join(folder, "weir.yaml"), filepath.Join(folder, "blocked")
	for name, text := range map[string]string{path: "listen: :8080\nauth: { customer: { jwt: '" + p.URL + "', audience: shop } }\nroutes:\n  GET /: { auth: customer, respond: 204 }\n", blocked: ""} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("STATE_DIRECTORY", "")
	t.Setenv("XDG_STATE_HOME", blocked) // a file, in which even root cannot make a folder
	g := weirtest.Start(t, path, weirtest.UsualState)
	if got := statusWith(t, "http://"+g.Address+"/", p.token(time.Hour, p.private)); got != http.StatusNoContent {
		t.Errorf("it answers %d", got)
	}
	g.Stop(t)
	if n := strings.Count(g.Log(), "nothing is kept for a restart"); n != 1 {
		t.Errorf("it says so %d times:\n%s", n, g.Log())
	}
}
