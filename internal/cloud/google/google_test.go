package google

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/test/googletest"
	"github.com/weir-gateway/weir/test/issuertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const audience = "https://orders-abc.a.run.app"

// world is an environment without credentials, but for the metadata server.
func world(t *testing.T, i *googletest.Issuer) (home string) {
	t.Helper()
	home = t.TempDir()
	for name, value := range map[string]string{fileVariable: "", "CLOUDSDK_CONFIG": "", "HOME": home, "APPDATA": home, hostVariable: i.Host(), "NO_PROXY": "*"} {
		t.Setenv(name, value)
	}
	return home
}

func put(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// callersAt has the IAM Credentials API at the issuer.
func callersAt(i *googletest.Issuer) *Callers {
	c := NewCallers()
	c.iam = i.URL
	return c
}

// use gives a token that ends with the test.
func use(t *testing.T, c *Callers, who Caller, from Credentials) *Token {
	t.Helper()
	token, who := c.Use(who, from, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { c.Leave(who) })
	return token
}

func TestEachSourceOfTheChain(t *testing.T) {
	const bearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	named := func(kind string) func(*testing.T, *googletest.Issuer, string) {
		return func(t *testing.T, i *googletest.Issuer, home string) {
			t.Helper()
			t.Setenv(fileVariable, put(t, home+"/key.json", i.File(kind, put(t, home+"/subject", "subject-1\n"))))
		}
	}
	machineOnly := func(*testing.T, *googletest.Issuer, string) {}
	for name, test := range map[string]struct {
		set         func(*testing.T, *googletest.Issuer, string)
		impersonate string
		calls       string
	}{
		"the metadata server":      {machineOnly, "", "identity"},
		"and another account":      {machineOnly, googletest.Account, "machine token, generateIdToken"},
		"a service account's key":  {named("service_account"), "", bearer},
		"and another account too":  {named("service_account"), googletest.Account, bearer + ", generateIdToken"},
		"federation by a file":     {named("external_account"), "", "sts, generateIdToken"},
		"federation, then another": {named("external_account"), googletest.Account, "sts, generateAccessToken, generateIdToken"},
		"federation by a url": {func(t *testing.T, i *googletest.Issuer, home string) {
			t.Helper()
			t.Setenv(fileVariable, put(t, home+"/key.json", i.File("external_account", i.URL+"/subject")))
		}, "", "subject, sts, generateIdToken"},
		"gcloud's file of somebody who may speak for an account": {func(t *testing.T, i *googletest.Issuer, home string) {
			t.Helper()
			put(t, home+"/.config/gcloud/"+wellKnown, i.File("authorized_user", ""))
		}, googletest.Account, "refresh_token, generateIdToken"},
		"gcloud's file elsewhere, made for an account": {func(t *testing.T, i *googletest.Issuer, home string) {
			t.Helper()
			t.Setenv("CLOUDSDK_CONFIG", home+"/gcloud")
			put(t, home+"/gcloud/"+wellKnown, i.File("impersonated_service_account", ""))
		}, "", "refresh_token, generateIdToken"},
		"an account that is made to speak for another": {named("impersonated_service_account"), googletest.Account, "refresh_token, generateAccessToken, generateIdToken"},
	} {
		t.Run(name, func(t *testing.T) {
			i := googletest.Start(t)
			test.set(t, i, world(t, i))
			callers, who := callersAt(i), Caller{Audience: audience, Impersonate: test.impersonate, Delegates: "a@shop-42.iam.gserviceaccount.com"}
			held := issuertest.Together(t, use(t, callers, who, Credentials{}))
			if left := time.Until(held.Expires); left < 55*time.Minute || left > time.Hour || strings.Count(held.Value.Reveal(), ".") != 2 {
				t.Errorf("it counts for %v: %s", left, held.Value.Reveal())
			}
			if got := strings.Join(i.Calls(), ", "); got != test.calls {
				t.Errorf("asked were %s; want %s", got, test.calls)
			}
			i.IsAskedAnew(t, func(ctx context.Context) error {
				_, _, err := callers.fetcher(who, Credentials{})(ctx)
				return err
			})
		})
	}
}

func TestCredentialsOfTheConfig(t *testing.T) {
	i := googletest.Start(t)
	t.Setenv(fileVariable, "/nowhere")
	t.Setenv("NO_PROXY", "*")
	given := func(text string, b *egress.Bounds) Credentials { return Credentials{secret.NewValue(text), b} }
	c := callersAt(i)
	token := use(t, c, Caller{Audience: audience}, given(i.File("service_account", ""), nil))
	if _, err := token.Get(t.Context()); err != nil {
		t.Error(err)
	}
	bounded := use(t, c, Caller{Audience: audience}, given(i.File("service_account", ""), &egress.Bounds{}))
	if _, err := bounded.Get(t.Context()); err == nil || !strings.Contains(err.Error(), "may not be called") {
		t.Errorf("the issuer of a group's credentials on this machine was asked: %v", err)
	}
	reach := &egress.Bounds{Reach: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	if _, err := use(t, c, Caller{Audience: audience}, given(i.File("service_account", ""), reach)).Get(t.Context()); err != nil {
		t.Error(err)
	}
	for _, kind := range []string{"external_account", "impersonated_service_account"} {
		if err := Check(given(i.File(kind, "/etc/passwd"), nil)); err == nil || !strings.Contains(err.Error(), "cannot be given in the config") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestWhatIsWrongWithCredentialsIsSaid(t *testing.T) {
	i := googletest.Start(t)
	home := world(t, i)
	for name, test := range map[string]struct{ file, want string }{
		"no JSON":             {"-----BEGIN", "it is no file of credentials"},
		"another kind":        {`{"type":"gdch_service_account"}`, `credentials of the type "gdch_service_account" are not understood`},
		"another universe":    {`{"type":"service_account","universe_domain":"sovereign.test"}`, "universe_domain is sovereign.test"},
		"no key":              {`{"type":"service_account","client_email":"a"}`, "private_key: it is no PEM"},
		"a person alone":      {i.File("authorized_user", ""), "write `identity: NAME@PROJECT"},
		"revoked":             {strings.Replace(i.File("impersonated_service_account", ""), "1//refresh", "1//old", 1), "invalid_grant: Token has been expired or revoked."},
		"a program":           {`{"type":"external_account","audience":"a","subject_token_type":"b","token_url":"c","credential_source":{"executable":{"command":"x"}}}`, "only a file or a url is understood"},
		"nobody spoken for":   {strings.Replace(i.File("external_account", put(t, home+"/s", "subject-1")), "service_account_impersonation_url", "x", 1), "name no service account"},
		"a subject not taken": {i.File("external_account", put(t, home+"/wrong", "subject-2")), "invalid_grant: The token is not accepted."},
		"a subject not there": {i.File("external_account", home+"/missing"), "no such file"},
		"no API":              {strings.Replace(i.File("impersonated_service_account", ""), "/v1/projects", "/v2/projects", 1), "is none of the IAM Credentials API"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(fileVariable, put(t, t.TempDir()+"/key.json", test.file))
			_, err := use(t, callersAt(i), Caller{Audience: audience}, Credentials{}).Get(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v; want %s", err, test.want)
			}
		})
	}
	denied := use(t, callersAt(i), Caller{Audience: audience, Impersonate: "other@shop-42.iam.gserviceaccount.com"}, Credentials{})
	if _, err := denied.Get(t.Context()); err == nil || !strings.Contains(err.Error(), "PERMISSION_DENIED: Permission 'iam.serviceAccounts.getOpenIdToken' denied") {
		t.Errorf("got %v", err)
	}
}

// A token is fetched again before it ends, and an outage meanwhile is not noticed.
func TestTokensSurviveAnOutage(t *testing.T) {
	i := googletest.Start(t)
	world(t, i)
	i.SurvivesAnOutage(t, http.StatusServiceUnavailable, func() *Token {
		return use(t, callersAt(i), Caller{Audience: audience}, Credentials{})
	})
}

// While the metadata server is slow, all wait for one question.
func TestASlowIssuerIsAskedOnce(t *testing.T) {
	i := googletest.Start(t)
	world(t, i)
	c := callersAt(i)
	i.IsAskedOnce(t, func() *Token { return use(t, c, Caller{Audience: audience}, Credentials{}) })
}

// What no field of a request may have is the issuer's mistake, and told as that.
func TestATokenThatNoRequestCouldBearIsNotKept(t *testing.T) {
	i := googletest.Start(t)
	right := i.Token(audience)
	for name, test := range map[string]struct{ id, impersonate string }{
		"an ID token":     {right[:20] + "\\r\\n" + right[20:], ""},
		"an access token": {right, googletest.Account},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"id_token":"`+test.id+`","access_token":"a\r\nX-Admin: yes"}`)
			}))
			defer s.Close()
			t.Setenv(fileVariable, put(t, t.TempDir()+"/key.json", strings.ReplaceAll(i.File("service_account", ""), i.URL, s.URL)))
			_, err := use(t, callersAt(i), Caller{Audience: audience, Impersonate: test.impersonate}, Credentials{}).Get(t.Context())
			if err == nil || !strings.Contains(err.Error(), "no field of a request may have") || strings.Contains(err.Error(), "Admin") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTargets(t *testing.T) {
	for text, want := range map[string]string{
		"place-order@europe-west1/shop-42":                   "https://europe-west1-shop-42.cloudfunctions.net/place-order",
		"https://orders-abc.a.run.app":                       audience,
		"https://orders-abc.a.run.app/":                      audience,
		"https://orders-123456789012.{region}.run.app":       "https://orders-123456789012.us-central1.run.app",
		"https://{region}-shop-42.cloudfunctions.net/orders": "https://us-central1-shop-42.cloudfunctions.net/orders",
		"place_order@northamerica-northeast2/shop-42":        "https://northamerica-northeast2-shop-42.cloudfunctions.net/place_order",
	} {
		got, err := ParseFunction(text)
		region := got.Region()
		if region == "" {
			region = "us-central1"
		}
		if err != nil || got.In(region) != want || got.String() != text {
			t.Errorf("%s: %s, %v", text, got.In(region), err)
		}
	}
	if got, err := ParseService("orders@europe-west1/123456789012"); err != nil || got.In(got.Region()) != "https://orders-123456789012.europe-west1.run.app" {
		t.Errorf("got %s, %v", got.In("europe-west1"), err)
	}
	for _, text := range []string{
		"", "a", "a@", "a@x", "a@europe-west1", "a@europe-west1/", "a@europe-west1/UPPER", "a b@europe-west1/shop-42", "a@europe-west1/shop-42/x", "a@europe-west1/evil.test#",
		"http://orders.test", "https://", "https://u:p@orders.test", "https://orders.test/?a", "https://orders.test#a", "ftp://orders.test", "https://orders.test:99999", "https://orders.test:",
	} {
		if got, err := ParseFunction(text); err == nil {
			t.Errorf("%q is %s", text, got.In(""))
		}
	}
	for what, err := range map[string]error{"a person": CheckAccount("ann@shop.dev"), "a region of AWS": CheckRegion("eu-west-1")} {
		if err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("place-order@europe-west1/shop-42")
	f.Add("https://orders-123456789012.{region}.run.app/x")
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func(string) (Target, error){ParseFunction, ParseService} {
			got, err := parse(text)
			if err != nil {
				continue
			}
			if url := got.In("europe-west1"); !strings.HasPrefix(url, "https://") || strings.ContainsAny(url, "?# ") {
				t.Errorf("%q leads to %q", text, url)
			}
		}
	})
}

// FuzzParseFile holds that no file of credentials, however it looks, takes the gateway down.
func FuzzParseFile(f *testing.F) {
	f.Add(`{"type":"service_account","client_email":"a","private_key":"x"}`, true)
	f.Add(`{"type":"impersonated_service_account","source_credentials":{"type":"authorized_user"}}`, false)
	f.Fuzz(func(t *testing.T, text string, given bool) {
		s, err := parser{given: given}.parse([]byte(text))
		if (s == nil) == (err == nil) {
			t.Errorf("%q: %v, %v", text, s, err)
		}
	})
}
