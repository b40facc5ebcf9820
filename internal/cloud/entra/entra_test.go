package entra

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/test/entratest"
	"github.com/weir-gateway/weir/test/issuertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an environment with nothing but a metadata service, and what set says.
func world(t *testing.T, i *entratest.Issuer, set map[string]string) {
	t.Helper()
	for _, name := range []string{clientVariable, tenantVariable, secretVariable, federatedVariable, endpointVariable, headerVariable} {
		t.Setenv(name, "")
	}
	t.Setenv(authorityVariable, i.URL)
	t.Setenv(machineVariable, i.URL)
	t.Setenv("NO_PROXY", "*")
	for name, value := range set {
		t.Setenv(name, value)
	}
}

func use(t *testing.T, c *Callers, who Caller, from Credentials) *Token {
	t.Helper()
	token, who := c.Use(who, from, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { c.Leave(who) })
	return token
}

func assertion(t *testing.T, text string) string {
	t.Helper()
	path := t.TempDir() + "/token"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEachSourceOfTheChain(t *testing.T) {
	app := map[string]string{clientVariable: entratest.Client, tenantVariable: entratest.Tenant}
	with := func(more ...string) map[string]string {
		made := maps.Clone(app)
		for i := 0; i < len(more); i += 2 {
			made[more[i]] = more[i+1]
		}
		return made
	}
	for name, test := range map[string]struct {
		set  func(*testing.T, *entratest.Issuer) map[string]string
		who  Caller
		from Credentials
		call string
	}{
		"the machine":                     {nil, Caller{}, Credentials{}, "machine"},
		"one of the machine's identities": {nil, Caller{Client: entratest.Client}, Credentials{}, "machine"},
		"an app of App Service": {func(_ *testing.T, i *entratest.Issuer) map[string]string {
			return map[string]string{endpointVariable: i.URL + "/msi/token", headerVariable: entratest.Header}
		}, Caller{}, Credentials{}, "app service"},
		"a secret of the environment": {func(*testing.T, *entratest.Issuer) map[string]string { return with(secretVariable, entratest.Secret) }, Caller{}, Credentials{}, "secret"},
		"workload identity": {func(t *testing.T, _ *entratest.Issuer) map[string]string {
			t.Helper()
			return with(federatedVariable, assertion(t, "assertion-1\n"))
		}, Caller{}, Credentials{}, "federated"},
		"a secret of the config": {nil, Caller{Client: entratest.Client, Tenant: entratest.Tenant}, Credentials{Secret: secret.NewValue(entratest.Secret)}, "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			i := entratest.Start(t)
			set := map[string]string(nil)
			if test.set != nil {
				set = test.set(t, i)
			}
			world(t, i, set)
			test.who.Resource = entratest.Resource
			callers := NewCallers()
			held := issuertest.Together(t, use(t, callers, test.who, test.from))
			if left := time.Until(held.Expires); left < 55*time.Minute || left > time.Hour || held.Value.Reveal() != "token-1" {
				t.Errorf("it counts for %v: %s", left, held.Value.Reveal())
			}
			if calls := strings.Join(i.Calls(), ", "); calls != test.call {
				t.Errorf("asked were %s", calls)
			}
			i.IsAskedAnew(t, func(ctx context.Context) error {
				_, _, err := callers.fetcher(test.who, test.from)(ctx)
				return err
			})
		})
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	i := entratest.Start(t)
	named := Caller{Resource: entratest.Resource, Client: entratest.Client, Tenant: entratest.Tenant}
	for name, test := range map[string]struct {
		set  map[string]string
		who  Caller
		from Credentials
		want string
	}{
		"a wrong secret":       {nil, named, Credentials{Secret: secret.NewValue("no")}, "invalid_client: AADSTS7000215"},
		"a secret without app": {nil, Caller{Resource: entratest.Resource}, Credentials{Secret: secret.NewValue("no")}, "needs a tenant and a client id"},
		"an old assertion":     {map[string]string{federatedVariable: assertion(t, "old")}, named, Credentials{}, "AADSTS700024"},
		"no assertion":         {map[string]string{federatedVariable: "/nowhere/token"}, named, Credentials{}, "no such file"},
		"no such identity":     {nil, Caller{Resource: entratest.Resource, Client: "other"}, Credentials{}, "Identity not found"},
		"out of bounds":        {nil, named, Credentials{secret.NewValue(entratest.Secret), &egress.Bounds{}}, "may not be called"},
	} {
		t.Run(name, func(t *testing.T) {
			world(t, i, test.set)
			_, err := use(t, NewCallers(), test.who, test.from).Get(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v; want %s", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), entratest.Secret) {
				t.Errorf("it tells a secret: %v", err)
			}
		})
	}
}

// A token is fetched again before it ends, and an outage meanwhile is not noticed.
func TestTokensSurviveAnOutage(t *testing.T) {
	i := entratest.Start(t)
	world(t, i, nil)
	i.SurvivesAnOutage(t, http.StatusTooManyRequests, func() *Token {
		return use(t, NewCallers(), Caller{Resource: entratest.Resource}, Credentials{})
	})
}

// While the metadata service is slow, all wait for one question.
func TestASlowIssuerIsAskedOnce(t *testing.T) {
	i := entratest.Start(t)
	world(t, i, nil)
	c := NewCallers()
	i.IsAskedOnce(t, func() *Token { return use(t, c, Caller{Resource: entratest.Resource}, Credentials{}) })
}

// What no field of a request may have is the issuer's mistake, and told as that.
func TestATokenThatNoRequestCouldBearIsNotKept(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"access_token":"a\r\nX-Admin: yes","expires_in":3600}`)
	}))
	defer s.Close()
	world(t, entratest.Start(t), map[string]string{endpointVariable: s.URL, headerVariable: "h"})
	_, err := use(t, NewCallers(), Caller{Resource: entratest.Resource}, Credentials{}).Get(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no field of a request may have") || strings.Contains(err.Error(), "Admin") {
		t.Errorf("got %v", err)
	}
}

func TestWhenATokenEnds(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for text, want := range map[string]int64{
		`{"access_token":"a","expires_on":"1800000100"}`:                 1_800_000_100,
		`{"access_token":"a","expires_on":1800000100,"expires_in":5}`:    1_800_000_100,
		`{"access_token":"a","expires_in":"60"}`:                         1_800_000_060,
		`{"access_token":"a","expires_in":60}`:                           1_800_000_060,
		`{"access_token":"a","expires_on":"09/14/2027","expires_in":60}`: 1_800_000_060,
		`{"access_token":"a"}`:                                           0,
		`{"expires_in":60}`:                                              0,
		`{"access_token":"a","expires_in":-60}`:                          0,
	} {
		got, err := expiryOf(text, now)
		if want == 0 != (err != nil) || err == nil && got.Unix() != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func expiryOf(text string, asked time.Time) (time.Time, error) {
	var a answer
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return time.Time{}, err
	}
	return a.expires(asked)
}
