package attack_test

import (
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/auth/jwt/jwttest"
	"github.com/weir-gateway/weir/test/weirtest"
)

// keyServer is a key server whose behaviour can change.
type keyServer struct {
	*httptest.Server

	mood atomic.Pointer[http.HandlerFunc]
}

func startKeyServer(t *testing.T) *keyServer {
	t.Helper()
	k := &keyServer{}
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*k.mood.Load())(w, r) }))
	t.Cleanup(func() { k.CloseClientConnections(); k.Close() })
	k.will(says(string(jwttest.Set(jwttest.Issued()["p256"]))))
	return k
}

func (k *keyServer) will(mood http.HandlerFunc) { k.mood.Store(&mood) }

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
}

// TestKeyServersThatAreSlowDeadLyingOrRotate checks the following, for all servers at once. A token of a key that was
// good stays good (for a day, which the tests of the package check). A token of an unknown key is denied until the
// key can be checked. Keys that a lying server offers count for nothing. No request is held for long.
func TestKeyServersThatAreSlowDeadLyingOrRotate(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	short := jwttest.NewRSA(1024)
	private, _ := short.(*rsa.PrivateKey)
	w := newWorld(t) // for its trap
	forged := jwttest.Sealed([]byte(`{"alg":"RS256","kid":"new"}`), jwttest.Claims(), jwttest.By("RS256", short))
	shared := jwttest.Sealed([]byte(`{"alg":"HS256","kid":"new"}`), jwttest.Claims(), jwttest.ByHMAC([]byte(secret), sha256.New))
	moods := map[string]http.HandlerFunc{
		"never answers": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"drips": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(50 * time.Millisecond):
				}
			}
		},
		"dies":              func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"fails":             func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"is somebody else":  says("<html>Please log in</html>"),
		"has no keys":       says(`{"keys":[]}`),
		"gives a secret":    says(fmt.Sprintf(`{"keys":[{"kty":"oct","kid":"new","alg":"HS256","k":%q}]}`, jwttest.B64([]byte(secret)))),
		"gives a short key": says(string(jwttest.Set(jwttest.Signer{KID: "new", Private: short}))),
		"gives it whole": says(strings.Replace(string(jwttest.Set(jwttest.Signer{KID: "new", Private: short})), `"kid"`,
			fmt.Sprintf(`"d":%q,"kid"`, jwttest.B64(private.D.Bytes())), 1)),
		"floods":  says(`{"keys":[` + strings.Repeat(" ", 1<<20) + `]}`),
		"is deep": says(strings.Repeat("[", 100_000)),
		"sends elsewhere": func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "http://"+w.trap+"/keys", http.StatusFound)
		},
		"rotates": says(string(jwttest.Set(jwttest.Issued()["ed"]))),
	}
	auth, routes := "", ""
	servers := map[string]*keyServer{}
	for name := range moods {
		k := startKeyServer(t)
		way := strings.ReplaceAll(name, " ", "-")
		servers[name] = k
		auth += fmt.Sprintf("  %s: { jwt: '%s', audience: shop, jwks: '%s/keys' }\n", way, jwttest.Issuer, k.URL)
		routes += fmt.Sprintf("  GET /%s: { auth: %s, respond: 204 }\n", way, way)
	}
	config := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(config, []byte("listen: :8080\nauth:\n"+auth+"routes:\n"+routes), 0o600); err != nil {
		t.Fatal(err)
	}
	w.gateway = weirtest.Start(t, config)
	ask := func(t *testing.T, name, token string) int {
		t.Helper()
		began := time.Now()
		status := w.send(t, get("/"+strings.ReplaceAll(name, " ", "-"), "Authorization: Bearer "+token))
		if took := time.Since(began); took > patience/2 {
			t.Errorf("an answer took %s", took)
		}
		return status
	}
	known, unseen := jwttest.Good("p256", "ES256"), jwttest.Good("ed", "EdDSA")
	for name := range moods {
		if status := ask(t, name, known); status != 204 {
			t.Fatalf("%s: at first: %d", name, status)
		}
		servers[name].will(moods[name])
	}
	for name := range moods {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The first fetch was only a moment ago, so a key that was not in it is invalid (401) until the next
			// fetch is allowed. After that the key cannot be checked (503), except where the server has rotated to
			// it.
			want := map[bool][2]int{false: {204, 503}, true: {401, 204}}[name == "rotates"]
			deadline := time.Now().Add(patience)
			status := ask(t, name, unseen)
			for ; status == 401 && time.Now().Before(deadline); status = ask(t, name, unseen) {
				time.Sleep(100 * time.Millisecond) //nolint:forbidigo // a poll with a deadline
			}
			if status != want[1] {
				t.Errorf("a key that nobody has seen: %d", status)
			}
			if got := ask(t, name, known); got != want[0] {
				t.Errorf("a key that was good: %d", got)
			}
			for what, token := range map[string]string{"a token of what it offers": forged, "one by a shared secret": shared, "one by nobody": known[:len(known)-4] + "AAAA"} {
				if got := ask(t, name, token); got != 401 && got != 503 {
					t.Errorf("%s: %d", what, got)
				}
			}
		})
	}
	t.Cleanup(func() {
		if n := w.trapped.Load(); n > 0 {
			t.Errorf("%d connections were made to where a key server said", n)
		}
	})
}
