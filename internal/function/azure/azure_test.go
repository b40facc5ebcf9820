package azure

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/test/entratest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asked is one request as the double of an app has seen it.
type asked struct {
	method, host, path string
	head               http.Header
}

// double is an app at Azure, whose host asks for a key, and whose authentication for a token.
type double struct {
	*httptest.Server

	key, token string // "" for none

	mu  sync.Mutex
	all []asked
}

func serve(t *testing.T, key, token string) *double {
	t.Helper()
	d := &double{key: key, token: token}
	d.Server = httptest.NewServer(d)
	t.Cleanup(d.Close)
	return d
}

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	d.all = append(d.all, asked{r.Method, r.Host, r.URL.EscapedPath(), r.Header})
	d.mu.Unlock()
	switch {
	case d.token != "" && r.Header.Get("Authorization") != "Bearer "+d.token:
		w.Header().Set("Www-Authenticate", `Bearer realm="shop.azurewebsites.net" authorization_uri="https://login.microsoftonline.com/t/oauth2/authorize" resource_id="api://shop"`)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "You do not have permission to view this directory or page.")
	case d.key != "" && r.Header.Get("X-Functions-Key") != d.key:
		w.WriteHeader(http.StatusUnauthorized)
	default:
		_, _ = io.WriteString(w, "served")
	}
}

func (d *double) last(t *testing.T) asked {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.all) == 0 {
		t.Fatal("nothing was asked")
	}
	return d.all[len(d.all)-1]
}

func read(t *testing.T, text string) (*Config, *doc.Problems) {
	t.Helper()
	var ps doc.Problems
	c := defaults()
	doc.Decode(doc.Parse("weir.yaml", []byte(text), &ps), &c, &ps)
	return &c, &ps
}

func build(t *testing.T, text string) function.Backend {
	t.Helper()
	c, ps := read(t, text)
	for _, p := range ps.Sorted() {
		t.Fatal(p)
	}
	b, err := Definition().Build(function.Env{Log: slog.New(slog.DiscardHandler), Secret: secret.Resolve}, "shop", c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(t.Context()) })
	return b
}

func partOf(t *testing.T, b function.Backend, name string) http.RoundTripper {
	t.Helper()
	app, ok := b.(function.Parted)
	if !ok {
		t.Fatal("it has no parts")
	}
	p, err := app.Part(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ask(t *testing.T, b http.RoundTripper, target string, params map[string]string, fields ...string) (*http.Response, error) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	x := &exchange.Exchange{ID: "req-1", Start: time.Now(), Host: "shop.dev", Client: exchange.Client{IP: netip.MustParseAddr("192.0.2.7")}}
	for name, value := range params {
		x.Params.Add(name, value)
	}
	res, err := b.RoundTrip(exchange.With(r, x))
	if err == nil {
		t.Cleanup(func() { _ = res.Body.Close() })
	}
	return res, err
}

func TestAnAppIsCalledWithItsKeyAndNobodysIdentity(t *testing.T) {
	t.Setenv("SHOP_KEY", "k3y==")
	d := serve(t, "k3y==", "")
	b := build(t, "azure: shop\nkey: ${env:SHOP_KEY}\nendpoint: "+d.URL)
	res, err := ask(t, b, "/api/orders/7?code=mine", nil, "X-Ms-Client-Principal", "ey", "X_MS_CLIENT_PRINCIPAL_ID", "root", "X-Ms-Token-Aad-Access-Token", "t",
		"X.MS.TOKEN.GOOGLE.ID.TOKEN", "t", "X-Arr-Clientcert", "MII", "X_ARR_SSL", "on", "X-Ms-Original-Url", "/admin", "Disguised-Host", "evil.test", "Client-Ip", "10.0.0.1", "X-Functions-Key", "guess", "X_functions_key", "guess", "X-Ms-Other", "stays", "Authorization", "Basic mine")
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("got %v, %v", res, err)
	}
	a := d.last(t)
	if a.host != "shop.azurewebsites.net" || a.path != "/api/orders/7" || a.head.Get("X-Ms-Other") != "stays" || a.head.Get("Authorization") != "Basic mine" {
		t.Errorf("it saw %+v", a)
	}
	for name, values := range a.head {
		folded := strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(name))
		if strings.HasPrefix(folded, "x-ms-client-principal") || strings.HasPrefix(folded, "x-ms-token-") || strings.HasPrefix(folded, "x-arr-") || folded == "x-ms-original-url" || folded == "disguised-host" || folded == "client-ip" || folded == "x-functions-key" && values[0] != "k3y==" {
			t.Errorf("it saw %s: %v", name, values)
		}
	}
	if text := strings.Join(b.Status().Details, " "); strings.Contains(text, "k3y") {
		t.Errorf("the status tells the key: %s", text)
	}
}

func TestARefusedKeyIsNotTheClientsFault(t *testing.T) {
	t.Setenv("SHOP_KEY", "old")
	d := serve(t, "new", "")
	_, err := ask(t, build(t, "azure: shop\nkey: ${env:SHOP_KEY}\nendpoint: "+d.URL), "/api/orders", nil)
	if f := fault.From(err); f.Code != fault.FunctionRefused.Code {
		t.Errorf("got %v", err)
	}
	res, err := ask(t, build(t, "azure: shop\nendpoint: "+d.URL), "/api/orders", nil, "X-Functions-Key", "wrong")
	if err != nil || res.StatusCode != 401 {
		t.Errorf("a client with a key of its own gets %v, %v", res, err)
	}
	if res, err := ask(t, build(t, "azure: shop\nendpoint: "+d.URL), "/api/orders", nil, "X-Functions-Key", "new"); err != nil || res.StatusCode != 200 {
		t.Errorf("a client with a right key of its own gets %v, %v", res, err)
	}
}

// Only the Functions host refuses so, and only a key: whatever else a request bears, the
// function itself may have answered.
func TestAnEmptyRefusalIsTheKeysOnlyWhereNothingElseIsSent(t *testing.T) {
	i := entratest.Start(t)
	for name, value := range map[string]string{
		"AZURE_CLIENT_ID": "", "AZURE_CLIENT_SECRET": "", "AZURE_FEDERATED_TOKEN_FILE": "", "IDENTITY_ENDPOINT": "", "AZURE_POD_IDENTITY_AUTHORITY_HOST": i.URL, "SHOP_KEY": "old",
	} {
		t.Setenv(name, value)
	}
	d := serve(t, "new", "") // it refuses each of these with an empty 401
	for name, test := range map[string]struct {
		config  string
		fields  []string
		refused bool
	}{
		"a key":                          {"key: ${env:SHOP_KEY}", nil, true},
		"a key, and what the client has": {"key: ${env:SHOP_KEY}", []string{"Authorization", "Basic mine"}, false},
		"a token":                        {"identity: api://orders", nil, false},
		"a token and a key":              {"identity: api://orders\nkey: ${env:SHOP_KEY}", nil, false},
		"nothing":                        {"", nil, false},
	} {
		res, err := ask(t, build(t, "azure: shop\nendpoint: "+d.URL+"\n"+test.config), "/api/orders", nil, test.fields...)
		switch {
		case test.refused && fault.From(err).Code != fault.FunctionRefused.Code:
			t.Errorf("with %s: %v, %v", name, res, err)
		case !test.refused && (err != nil || res.StatusCode != http.StatusUnauthorized):
			t.Errorf("with %s the function's own answer is %v, %v", name, res, err)
		}
	}
}

func TestATokenIsRenewedWhenItIsRefused(t *testing.T) {
	i := entratest.Start(t)
	for name, value := range map[string]string{
		"AZURE_CLIENT_ID": "", "AZURE_CLIENT_SECRET": "", "AZURE_FEDERATED_TOKEN_FILE": "", "IDENTITY_ENDPOINT": "", "AZURE_POD_IDENTITY_AUTHORITY_HOST": i.URL,
	} {
		t.Setenv(name, value)
	}
	d := serve(t, "", "token-1")
	b := build(t, "azure: shop\nidentity: api://orders\nendpoint: "+d.URL)
	if res, err := ask(t, b, "/api/orders", nil, "Authorization", "Bearer mine"); err != nil || res.StatusCode != 200 {
		t.Fatalf("got %v, %v", res, err)
	}
	d.token = "token-2"
	if _, err := ask(t, b, "/api/orders", nil); fault.From(err).Code != fault.FunctionRefused.Code { // it was fetched a moment ago
		t.Errorf("got %v", err)
	}
	i.Fail(func(int) int { return 400 })
	other := build(t, "azure: shop\nidentity: api://orders\nendpoint: "+d.URL+"\nlimits: { wait: 1s }")
	if _, err := ask(t, other, "/api/orders", nil); fault.From(err).Code != fault.CredentialsMissing.Code {
		t.Errorf("without a token it gets %v", err)
	}
}

func TestWhereAFunctionIs(t *testing.T) {
	d := serve(t, "", "")
	for name, test := range map[string]struct {
		config, part, path string
		params             map[string]string
		want               string
	}{
		"by its name":                     {"", "orders", "/shop/orders/7", nil, "/api/orders"},
		"where it is already":             {"", "orders", "/API/Orders", nil, "/API/Orders"},
		"without a prefix":                {"prefix: none", "orders", "/x", nil, "/orders"},
		"by another prefix":               {"prefix: v1/shop", "orders", "/x", nil, "/v1/shop/orders"},
		"by its route":                    {"routes: { price: 'prices/{item:alpha}' }", "price", "/x", map[string]string{"item": "a/b?"}, "/api/prices/a%2Fb%3F"},
		"at its route":                    {"routes: { price: 'prices/{item}' }", "price", "/api/prices/tea", nil, "/api/prices/tea"},
		"something optional is missing":   {"routes: { price: 'prices/{item?}' }", "price", "/x", nil, "/api/prices"},
		"something optional is there":     {"routes: { price: 'prices/{item?}' }", "price", "/x", map[string]string{"item": "tea"}, "/api/prices/tea"},
		"all that is left":                {"routes: { files: 'files/{*path}' }", "files", "/x", map[string]string{"path": "a b/c"}, "/api/files/a%20b/c"},
		"a path that leads elsewhere":     {"", "orders", "/api/orders/7", nil, "/api/orders"},
		"an escaped path that leads here": {"routes: { price: 'prices/{item}' }", "price", "/api/prices/a%2Fb", nil, "/api/prices/a%2Fb"},
	} {
		t.Run(name, func(t *testing.T) {
			b := build(t, "azure: shop\nendpoint: "+d.URL+"\n"+test.config)
			if _, err := ask(t, partOf(t, b, test.part), test.path, test.params); err != nil {
				t.Fatal(err)
			}
			if got := d.last(t).path; got != test.want {
				t.Errorf("got %s; want %s", got, test.want)
			}
		})
	}
	b := build(t, "azure: shop\nroutes: { price: 'prices/{item}' }\nendpoint: "+d.URL)
	if _, err := ask(t, partOf(t, b, "price"), "/x", map[string]string{"item": "../admin"}); fault.From(err).Code != fault.RouteNotFound.Code {
		t.Errorf("what climbs gets %v", err)
	}
	if _, err := ask(t, partOf(t, b, "price"), "/x", nil); fault.From(err).Code != fault.RouteNotFound.Code {
		t.Errorf("without its parameter it gets %v", err)
	}
}

// What explain shows is what is sent.
func TestARehearsalIsWhatIsSent(t *testing.T) {
	t.Setenv("SHOP_KEY", "k3y==")
	d := serve(t, "k3y==", "")
	text := "azure: shop\nhost: api.shop.dev\nkey: ${env:SHOP_KEY}\nroutes: { price: 'prices/{item}' }\nendpoint: " + d.URL
	b := build(t, text)
	c, _ := read(t, text)
	for part, target := range map[string]string{"": "/a%2Fb?x=1", "price": "/tea?x=1", "other": "/other"} {
		to := http.RoundTripper(b)
		if part != "" {
			to = partOf(t, b, part)
		}
		if _, err := ask(t, to, target, map[string]string{"item": "a b"}); err != nil {
			t.Fatal(err)
		}
		x := &exchange.Exchange{}
		x.Params.Add("item", "a b")
		r := exchange.With(httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody), x)
		adds, err := Definition().Rehearse(c, part, r)
		if a := d.last(t); err != nil || r.Host != a.host || r.URL.EscapedPath() != a.path || strings.Join(adds, "; ") != "X-Functions-Key" {
			t.Errorf("%q rehearses %s at %s with %v, %v, and sends %+v", part, r.URL, r.Host, adds, err, a)
		}
	}
	r := exchange.With(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/tea", http.NoBody), &exchange.Exchange{})
	if _, err := Definition().Rehearse(c, "price", r); fault.From(err).Code != fault.RouteNotFound.Code {
		t.Errorf("without what the route needs it says %v", err)
	}
}

func TestWhereAnAppIs(t *testing.T) {
	for text, want := range map[string]string{
		"azure: shop": "shop.azurewebsites.net",
		"azure: shop\nhost: shop.azurewebsites.us":                                          "shop.azurewebsites.us",
		"azure: shop\nhost: functions.shop.dev":                                             "functions.shop.dev",
		"azure: shop-{region}\nregions: [westeurope]":                                       "shop-westeurope.azurewebsites.net",
		"azure: shop\nhost: shop-abc.{region}-01.azurewebsites.net\nregions: [northeurope]": "shop-abc.northeurope-01.azurewebsites.net",
	} {
		s := build(t, text).Status()
		if len(s.Details) != 1 || !strings.Contains(s.Details[0], "https://"+want+":443") {
			t.Errorf("%s: %v", text, s.Details)
		}
	}
}

func TestReferences(t *testing.T) {
	d := Definition()
	for _, rest := range []string{"shop/orders", "shop", "shop-2/place_order"} {
		ref := config.Ref{Scheme: "azure", Rest: rest}
		if err := d.Scheme.Check(ref); err != nil {
			t.Errorf("%s: %v", rest, err)
		}
		c, err := d.Scheme.Inline(ref)
		if err != nil || d.Check(function.Env{}, c) != nil {
			t.Errorf("%s: %v", rest, err)
		}
		if _, part := ref.Function(); part != "" && d.CheckPart(function.Env{}, c, part) != nil {
			t.Errorf("%s: %v", rest, d.CheckPart(function.Env{}, c, part))
		}
	}
	for _, rest := range []string{"shop/", "shop/a/b", "shop/a b", "sh op/orders", "-/orders", "shop/../x", "shop/1"} {
		if err := d.Scheme.Check(config.Ref{Scheme: "azure", Rest: rest}); err == nil {
			t.Errorf("azure:%s is taken", rest)
		}
	}
}

func TestWhatIsWrongWithAConfig(t *testing.T) {
	for text, want := range map[string]string{
		"azure: a":                                                          "is no name of an app",
		"azure: shop\nhost: https://a.test":                                 "without https://",
		"azure: shop\nhost: localhost":                                      "is no host",
		"azure: shop\nregions: [westeurope]":                                "put {region} into one of them",
		"azure: shop-{region}":                                              "say which there are",
		"azure: shop-{region}\nregions: [west europe]":                      "regions are called like westeurope",
		"azure: shop\nprefix: /api/":                                        "is no prefix",
		"azure: shop\nroutes: { price: 'a/{b' }":                            "neither a text nor {name}",
		"azure: shop\nroutes: { price: 'a/{b?}/c' }":                        "something follows {b}",
		"azure: shop\nroutes: { '1': a }":                                   "is no name of a function",
		"azure: shop\nidentity: { resource: a, secret: x }":                 "say with client and tenant whose it is",
		"azure: shop\nidentity: { resource: a, authority: https://a.test }": "set AZURE_AUTHORITY_HOST",
		"azure: shop\nroutes: { price: 'x/../../admin/host/keys' }":         "leads out of its place",
		"azure: shop\nroutes: { price: './x' }":                             "leads out of its place",
		"azure: shop\nroutes: { price: 'x/..\\admin' }":                     "neither a text nor {name}",
		"azure: shop\nprefix: ../admin":                                     "is no prefix",
		"azure: shop\nprefix: api/./x":                                      "is no prefix",
		"azure: shop\nprefix: api//x":                                       "is no prefix",
		"azure: shop\nendpoint: https://x:99999":                            "it has a port from 1 to 65535",
		"azure: shop\nendpoint: https://x:0":                                "it has a port from 1 to 65535",
		"azure: shop\nkey: the-key-itself":                                  "key: it stands in the config itself; write a reference such as ${env:SHOP_FUNCTIONS_KEY}",
		"azure: shop\nidentity: { resource: a, client: b, tenant: c, secret: the-secret-itself }": "identity.secret: it stands in the config itself",
		"azure: shop\ntimeout: 5m":              "after which Azure answers itself",
		"azure: shop\nkey: ${env:WEIR_NO_SUCH}": "key: ",
	} {
		c, ps := read(t, text)
		told := ""
		for _, p := range ps.Sorted() {
			told += p.String() + "\n"
		}
		if err := check(function.Env{Secret: secret.Resolve}, c); err != nil {
			told += err.Error()
		}
		if !strings.Contains(told, want) || strings.Contains(told, "-itself") {
			t.Errorf("%s: %s", text, told)
		}
	}
}

// FuzzTemplate holds that no captured value leads out of the function's own path.
func FuzzTemplate(f *testing.F) {
	f.Add("prices/{item}/{*rest}", "/x", "a/b", "../c")
	f.Add("{a?}", "/api/a%2Fb", "", "")
	f.Fuzz(func(t *testing.T, template, path, item, rest string) {
		p, err := parseTemplate("api", template)
		if err != nil || !strings.HasPrefix(path, "/") {
			return
		}
		var captured exchange.Params
		captured.Add("item", item)
		captured.Add("rest", rest)
		got, err := p.at(path, &captured)
		if err == nil && got != path && (!strings.HasPrefix(got, "/api") || strings.ContainsAny(got, "?# ") || strings.Contains(got+"/", "/../")) {
			t.Errorf("%q with %q, %q leads to %q", template, item, rest, got)
		}
	})
}
