package clients_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/weir-gateway/weir/internal/base/await"
)

// jwtStorage is the example's storage, except that machines get JWTs as access tokens.
type jwtStorage struct{ *storage.Storage }

func (s jwtStorage) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	c, err := s.Storage.ClientCredentials(ctx, id, secret)
	if err != nil {
		return nil, err
	}
	return jwtClient{c}, nil
}

type jwtClient struct{ op.Client }

func (jwtClient) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

// provider is a certified OpenID provider library, served on loopback.
type provider struct {
	url     string
	handler atomic.Pointer[http.Handler]
	down    atomic.Bool
}

func startProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		(*p.handler.Load()).ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.url = server.URL + "/"
	p.rotate()
	return p
}

// rotate gives the provider a new key, and removes the old one.
func (p *provider) rotate() {
	var h http.Handler = exampleop.SetupServer(p.url, jwtStorage{storage.NewStorage(storage.NewUserStore(p.url))}, slog.New(slog.DiscardHandler), false)
	p.handler.Store(&h)
}

// token gets a token as a machine does (RFC 6749 section 4.4).
func (p *provider) token(t *testing.T, scopes ...string) string {
	t.Helper()
	c := clientcredentials.Config{ClientID: "sid1", ClientSecret: "verysecret", TokenURL: p.url + "oauth/token", Scopes: scopes}
	token, err := c.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(token.AccessToken, ".") != 2 {
		t.Fatalf("the access token is no JWT: %s", token.AccessToken)
	}
	return token.AccessToken
}

// askWith sends a request with a token, and returns the status and what the backend was told.
func askWith(t *testing.T, client *http.Client, url, token string) (int, string) {
	t.Helper()
	r := newRequest(t, http.MethodGet, url, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	res, body := send(t, client, r)
	return res.StatusCode, body
}

// TestTokensOfAnOpenIDProvider walks through the life of a provider: discovery, tokens, a rotation, an outage.
func TestTokensOfAnOpenIDProvider(t *testing.T) {
	p := startProvider(t)
	origin := startOrigin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s", r.Header.Get("X-User"), r.Header.Get("Authorization"))
	}))
	gateway := startWeirWith(t, "auth: { machine: { jwt: '"+p.url+"', audience: sid1, forward: { headers: { X-User: =auth.id } } } }\n",
		"GET /any: { auth: machine, to: 'http://"+origin+"' }",
		"GET /scoped: { auth: machine, allow: \"=has(auth.claims.custom_claim)\", to: 'http://"+origin+"' }")
	client, url := h1Client(t), "http://"+gateway.Address
	plain, scoped := p.token(t), p.token(t, storage.CustomScope)
	for _, c := range []struct {
		path, token string
		status      int
	}{{"/any", plain, 200}, {"/any", "", 401}, {"/any", plain + "x", 401}, {"/scoped", plain, 403}, {"/scoped", scoped, 200}} {
		status, body := askWith(t, client, url+c.path, c.token)
		if status != c.status || status == 200 && body != fmt.Sprintf("%d:%s#sid1 ", len(p.url), p.url) {
			t.Errorf("%s: %d %q, not %d", c.path, status, body, c.status)
		}
	}

	p.rotate()
	next := p.token(t)
	deadline := time.Now().Add(30 * time.Second)
	for { // at most ten seconds after the first fetch, and then at once
		if status, _ := askWith(t, client, url+"/any", next); status == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a new key is not taken:\n%s", gateway.Log())
		}
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // a poll with a deadline
	}
	if status, _ := askWith(t, client, url+"/any", plain); status != 401 {
		t.Errorf("a token of a key that is gone: %d", status)
	}
	p.down.Store(true)
	if status, _ := askWith(t, client, url+"/any", next); status != 200 {
		t.Errorf("while the provider is down: %d", status)
	}
}

// TestAProviderThatIsDownFromTheStart checks that the provider's routes deny requests until it is up.
func TestAProviderThatIsDownFromTheStart(t *testing.T) {
	p := startProvider(t)
	token := p.token(t)
	p.down.Store(true)
	gateway := startWeirWith(t, "auth: { machine: { jwt: '"+p.url+"', audience: sid1 } }\n", "GET /: { auth: machine, respond: 204 }", "GET /open: respond:204")
	client, url := h1Client(t), "http://"+gateway.Address
	if status, body := askWith(t, client, url+"/", token); status != 503 || !strings.Contains(body, `"auth-unavailable"`) {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := askWith(t, client, url+"/open", ""); status != 204 {
		t.Errorf("another route: %d", status)
	}
	p.down.Store(false)
	deadline := time.Now().Add(await.Patience)
	for {
		status, _ := askWith(t, client, url+"/", token)
		if status == 204 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d after the provider came:\n%s", status, gateway.Log())
		}
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // a poll with a deadline
	}
}

// TestAReloadKeepsTheKeys reloads with SIGHUP: the file changes while the provider is down.
func TestAReloadKeepsTheKeys(t *testing.T) {
	p := startProvider(t)
	token := p.token(t)
	file := filepath.Join(t.TempDir(), "weir.yaml")
	write := func(more string) {
		t.Helper()
		text := "listen: :8080\nauth: { machine: { jwt: '" + p.url + "', audience: sid1 } }\nroutes:\n  GET /: { auth: machine, respond: 204 }\n" + more
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	gateway := startFile(t, file)
	client, url := h1Client(t), "http://"+gateway.Address
	if status, _ := askWith(t, client, url+"/", token); status != 204 {
		t.Fatal(status)
	}
	p.down.Store(true)
	write("  GET /new: { auth: machine, respond: 204 }\n")
	deadline := time.Now().Add(await.Patience)
	for {
		if status, _ := askWith(t, client, url+"/", token); status != 204 {
			t.Fatalf("%d during a reload", status)
		}
		if status, _ := askWith(t, client, url+"/new", token); status == 204 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the new route does not serve:\n%s", gateway.Log())
		}
		time.Sleep(50 * time.Millisecond) //nolint:forbidigo // a poll with a deadline
	}
}
