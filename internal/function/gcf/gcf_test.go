package gcf

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/cloud/web"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/test/googletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asked is one request as the double of a function has seen it.
type asked struct {
	method, host, path, query, body string
	head                            http.Header
}

// double is a function at its platform.
type double struct {
	*httptest.Server

	mu  sync.Mutex
	all []asked
}

func serve(t *testing.T, answer func(w http.ResponseWriter, a asked)) *double {
	t.Helper()
	d := &double{}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a := asked{r.Method, r.Host, r.URL.EscapedPath(), r.URL.RawQuery, string(body), r.Header}
		d.mu.Lock()
		d.all = append(d.all, a)
		d.mu.Unlock()
		answer(w, a)
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *double) seen() []asked {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]asked(nil), d.all...)
}

func say(status int, fields ...string) func(http.ResponseWriter, asked) {
	return func(w http.ResponseWriter, _ asked) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Set(fields[i], fields[i+1])
		}
		w.WriteHeader(status)
	}
}

// metadata is an environment with nothing but a metadata server.
func metadata(t *testing.T) *googletest.Issuer {
	t.Helper()
	i := googletest.Start(t)
	for name, value := range map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": "", "CLOUDSDK_CONFIG": t.TempDir(), "GCE_METADATA_HOST": i.Host()} {
		t.Setenv(name, value)
	}
	return i
}

func build(t *testing.T, text string) function.Backend {
	t.Helper()
	var ps doc.Problems
	c := defaults()
	doc.Decode(doc.Parse("weir.yaml", []byte(text), &ps), &c, &ps)
	for _, p := range ps.Sorted() {
		t.Fatal(p)
	}
	b, err := Definition().Build(function.Env{Log: slog.New(slog.DiscardHandler), Secret: secret.Resolve}, "orders", &c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(t.Context()) })
	return b
}

func ask(t *testing.T, b http.RoundTripper, method, target, body string, fields ...string) (*http.Response, *exchange.Exchange, error) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if body == "" {
		r.Body = http.NoBody
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	x := &exchange.Exchange{ID: "req-1", Start: time.Now(), Host: "shop.dev", Client: exchange.Client{IP: netip.MustParseAddr("192.0.2.7")}}
	res, err := b.RoundTrip(exchange.With(r, x))
	if err == nil {
		t.Cleanup(func() { _ = res.Body.Close() })
	}
	return res, x, err
}

func TestAFunctionIsCalledAtItsURLWithAToken(t *testing.T) {
	metadata(t)
	d := serve(t, func(w http.ResponseWriter, a asked) { _, _ = io.WriteString(w, a.method+" "+a.body) })
	b := build(t, "gcf: place-order@europe-west1/shop-42\nendpoint: "+d.URL)
	res, x, err := ask(t, b, "POST", "/items/a%2Fb?tag=x", "tea", "X-Serverless-Authorization", "Bearer mine", "X_serverless_authorization", "Bearer mine")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	if len(d.seen()) == 0 {
		t.Fatalf("got %d %s", res.StatusCode, body)
	}
	a := d.seen()[0]
	if string(body) != "POST tea" || a.path != "/place-order/items/a%2Fb" || a.query != "tag=x" || a.host != "europe-west1-shop-42.cloudfunctions.net" {
		t.Errorf("got %s, and the function saw %+v", body, a)
	}
	if !strings.HasPrefix(a.head.Get("Authorization"), "Bearer ey") || a.head.Get("X-Serverless-Authorization") != "" || a.head["X_serverless_authorization"] != nil {
		t.Errorf("it was called with %v", a.head)
	}
	if len(x.Attempts) != 1 || x.Attempts[0].Status != 200 {
		t.Errorf("attempts: %+v", x.Attempts)
	}
}

func TestWhereTheTokenStands(t *testing.T) {
	metadata(t)
	d := serve(t, say(200))
	for name, test := range map[string]struct {
		config, client  string
		own, authorizes string // what begins the two fields
	}{
		"nobody else's":           {"", "", "", "Bearer ey"},
		"beside the client's":     {"", "Basic Ym9i", "Bearer ey", "Basic Ym9i"},
		"instead of the client's": {"authorization: replace", "Basic Ym9i", "", "Bearer ey"},
		"always beside":           {"authorization: beside", "", "Bearer ey", ""},
		"none":                    {"identity: none", "Basic Ym9i", "", "Basic Ym9i"},
	} {
		t.Run(name, func(t *testing.T) {
			b := build(t, "gcf: https://orders-abc.a.run.app\nendpoint: "+d.URL+"\n"+test.config)
			fields := []string{"Accept", "*/*"}
			if test.client != "" {
				fields = append(fields, "Authorization", test.client)
			}
			if _, _, err := ask(t, b, "GET", "/", "", fields...); err != nil {
				t.Fatal(err)
			}
			all := d.seen()
			head := all[len(all)-1].head
			for field, want := range map[string]string{serverless: test.own, authorization: test.authorizes} {
				if got := head.Get(field); !strings.HasPrefix(got, want) || want == "" && got != "" {
					t.Errorf("%s: %.20q", field, got)
				}
			}
		})
	}
}

func TestATokenIsForTheAudience(t *testing.T) {
	metadata(t)
	d := serve(t, say(200))
	for config, want := range map[string]string{
		"gcf: https://orders-abc.a.run.app":                                     "https://orders-abc.a.run.app",
		"gcf: https://orders-abc.a.run.app/v2/":                                 "https://orders-abc.a.run.app",
		"gcf: https://run.dev/v2":                                               "https://run.dev/v2",
		"gcf: place-order@europe-west1/shop-42":                                 "https://europe-west1-shop-42.cloudfunctions.net/place-order",
		"gcf: place-order@europe-west1/shop-42\naudience: https://{region}.dev": "https://europe-west1.dev",
	} {
		if _, _, err := ask(t, build(t, config+"\nendpoint: "+d.URL), "GET", "/", ""); err != nil {
			t.Fatal(err)
		}
		all := d.seen()
		parts := strings.Split(all[len(all)-1].head.Get(authorization), ".")
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil || !strings.Contains(string(payload), `"aud":"`+want+`"`) {
			t.Errorf("%s: the token is %s, %v", config, payload, err)
		}
	}
}

// What explain shows is what is sent.
func TestARehearsalIsWhatIsSent(t *testing.T) {
	metadata(t)
	d := serve(t, say(200))
	for text, adds := range map[string]string{
		"gcf: place-order@europe-west1/shop-42":                          "X-Serverless-Authorization: a token for https://europe-west1-shop-42.cloudfunctions.net/place-order",
		"gcf: https://a.run.app\nauthorization: replace\naudience: mine": "Authorization: a token for mine",
		"gcf: https://a.run.app/base\nidentity: none":                    "",
	} {
		text += "\nendpoint: " + d.URL
		if _, _, err := ask(t, build(t, text), "GET", "/items/a%2Fb?tag=x", "", "Authorization", "Basic mine"); err != nil {
			t.Fatal(err)
		}
		var ps doc.Problems
		c := defaults()
		doc.Decode(doc.Parse("weir.yaml", []byte(text), &ps), &c, &ps)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/items/a%2Fb?tag=x", http.NoBody)
		r.Header.Set("Authorization", "Basic mine")
		said, err := Definition().Rehearse(&c, "", r)
		a := d.seen()[len(d.seen())-1]
		if err != nil || r.Host != a.host || r.URL.EscapedPath() != a.path || r.URL.RawQuery != a.query || strings.Join(said, "; ") != adds {
			t.Errorf("%s: it rehearses %s at %s with %v, %v, and sends %+v", text, r.URL, r.Host, said, err, a)
		}
		for _, field := range said {
			if name, _, _ := strings.Cut(field, ":"); !strings.HasPrefix(a.head.Get(name), "Bearer ") {
				t.Errorf("%s: it sends %v", field, a.head)
			}
		}
	}
}

func TestARefusedTokenIsRenewedOnce(t *testing.T) {
	i := metadata(t)
	refused := say(401, "Www-Authenticate", `Bearer error="invalid_token" error_description="The access token could not be verified"`)
	d := serve(t, refused)
	b := build(t, "gcf: https://orders-abc.a.run.app\nendpoint: "+d.URL)
	_, _, err := ask(t, b, "POST", "/", "")
	if f := fault.From(err); f.Code != fault.FunctionRefused.Code {
		t.Errorf("got %v", err)
	}
	if n := len(i.Calls()); n != 1 { // it was fetched a moment ago, so another one is no better
		t.Errorf("the issuer was asked %d times", n)
	}
	res, _, err := ask(t, b, "POST", "/", "", "Authorization", "Bearer mine")
	if err != nil || res.StatusCode != 401 {
		t.Errorf("the client's own token was refused by the function, and the client gets %v", err)
	}
}

func TestThrottlesAreRespected(t *testing.T) {
	metadata(t)
	var n atomic.Int64
	d := serve(t, func(w http.ResponseWriter, a asked) {
		if n.Add(1)%2 == 1 {
			say(429, "Retry-After", a.head.Get("X-After"))(w, a)
		}
	})
	b := build(t, "gcf: https://orders-abc.a.run.app\nendpoint: "+d.URL)
	for name, test := range map[string]struct {
		method, after string
		status, calls int
	}{
		"a safe method waits a moment":  {"GET", "1", 200, 2},
		"a long time is the client's":   {"GET", "60", 429, 1},
		"an unsafe one is not repeated": {"POST", "1", 429, 1},
	} {
		t.Run(name, func(t *testing.T) {
			n.Store(0)
			res, x, err := ask(t, b, test.method, "/", "", "X-After", test.after)
			if err != nil || res.StatusCode != test.status || int(n.Load()) != test.calls || len(x.Attempts) != test.calls {
				t.Errorf("got %v, %v after %d calls", res, err, n.Load())
			}
		})
	}
}

func TestAnotherRegionTakesOver(t *testing.T) {
	metadata(t)
	down := serve(t, say(503))
	gone := serve(t, say(200))
	gone.Close()
	up := serve(t, say(200))
	port := func(d *double) string { return d.URL[strings.LastIndex(d.URL, ":")+1:] }
	at := func(first *double) function.Backend {
		// The regions are told apart by what stands for them in the address.
		b := build(t, "gcf: https://orders-1.{region}.run.app\nregions: [europe-west1, us-central1]\nidentity: none\nendpoint: http://{region}.test")
		sites := b.(*backend).Sites
		sites[0].URL.Host, sites[1].URL.Host = "127.0.0.1:"+port(first), "127.0.0.1:"+port(up)
		return b
	}
	for name, test := range map[string]struct {
		first  *double
		method string
		status int
		code   string
	}{
		"out of order, a safe method": {down, "GET", 200, ""}, "out of order, an unsafe one": {down, "POST", 503, ""},
		"not reached, a safe method": {gone, "GET", 200, ""}, "not reached, an unsafe one": {gone, "POST", 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := at(test.first)
			res, _, err := ask(t, b, test.method, "/", "")
			if err != nil || res.StatusCode != test.status {
				t.Fatalf("got %v, %v", res, err)
			}
			if test.status != 200 {
				return
			}
			if s := b.Status(); !strings.Contains(s.Details[0], "rests") {
				t.Errorf("the status is %+v", s)
			}
			all := up.seen()
			if host := all[len(all)-1].host; host != "orders-1.us-central1.run.app" {
				t.Errorf("the second one was called as %s", host)
			}
		})
	}
}

func TestWithoutATokenNothingIsSent(t *testing.T) {
	i := metadata(t)
	i.Fail(func(int) int { return 404 })
	d := serve(t, say(200))
	b := build(t, "gcf: https://orders-abc.a.run.app\nendpoint: "+d.URL)
	_, _, err := ask(t, b, "GET", "/", "")
	if f := fault.From(err); f.Code != fault.CredentialsMissing.Code || f.RetryAfter == 0 || len(d.seen()) != 0 {
		t.Errorf("got %v", err)
	}
	if s := b.Status(); !strings.Contains(s.Problem, "GOOGLE_APPLICATION_CREDENTIALS") {
		t.Errorf("the status is %+v", s)
	}
}

func TestWhatTakesTooLongIsGivenUp(t *testing.T) {
	held := make(chan struct{})
	d := serve(t, func(http.ResponseWriter, asked) { <-held })
	defer close(held)
	b := build(t, "gcf: https://orders-abc.a.run.app\nidentity: none\ntimeout: 50ms\nendpoint: "+d.URL)
	_, _, err := ask(t, b, "GET", "/", "")
	if f := fault.From(err); f.Code != fault.FunctionTimeout.Code {
		t.Errorf("got %v", err)
	}
	if s := b.Status(); s.Busy != 0 {
		t.Errorf("the status is %+v", s)
	}
}

// A place is taken until the answer was read, and given back once.
func TestCallsAreBounded(t *testing.T) {
	d := serve(t, say(200))
	b := build(t, "gcf: https://orders-abc.a.run.app\nidentity: none\nlimits: { concurrency: 1, queue: 0 }\nendpoint: "+d.URL)
	for range 2 {
		res, _, err := ask(t, b, "GET", "/", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := ask(t, b, "GET", "/", ""); fault.From(err).Code != fault.FunctionBusy.Code {
			t.Errorf("a second one gets %v", err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
}

// Two functions of one project and region have one bound in common, which another config may change.
func TestCallsOfAProjectAreBoundedTogether(t *testing.T) {
	d, platform := serve(t, say(200)), Definition()
	built := func(name string, most int) (function.Backend, *Config) {
		c := defaults()
		var ps doc.Problems
		doc.Decode(doc.Parse("weir.yaml", []byte("gcf: "+name+"@europe-west1/shop-42\nidentity: none\nendpoint: "+d.URL), &ps), &c, &ps)
		said := &web.Settings{Concurrency: most}
		if err := c.InCloud(func(string) any { return said }); err != nil || ps.Failed() {
			t.Fatal(ps.Sorted(), err)
		}
		b, err := platform.Build(function.Env{Log: slog.New(slog.DiscardHandler), Secret: secret.Resolve}, name, &c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close(t.Context()) })
		return b, &c
	}
	one, _ := built("one", 1)
	other, changed := built("other", 1)
	held, _, err := ask(t, one, "GET", "/", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ask(t, other, "GET", "/", ""); fault.From(err).Code != fault.FunctionBusy.Code {
		t.Errorf("beside the other one's call it gets %v", err)
	}
	if details := strings.Join(one.Status().Details, " "); !strings.Contains(details, "1 of 1 calls of all functions there") {
		t.Errorf("the status is %s", details)
	}
	if err := changed.InCloud(func(string) any { return &web.Settings{Concurrency: 2} }); err != nil {
		t.Fatal(err)
	}
	other.Tune(changed)
	if _, _, err := ask(t, other, "GET", "/", ""); err != nil {
		t.Errorf("with room for two it gets %v", err)
	}
	_ = held.Body.Close()
}

// A WebSocket passes, and takes its place until it is closed.
func TestAnUpgradePasses(t *testing.T) {
	metadata(t)
	d := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ey") || r.Header.Get("Upgrade") != "echo" {
			t.Errorf("it was called with %v", r.Header)
		}
		conn, both, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(conn, both)
	}))
	defer d.Close()
	b := build(t, "gcf: https://orders-abc.a.run.app\nlimits: { concurrency: 1, queue: 0 }\nendpoint: "+d.URL)
	res, _, err := ask(t, b, "GET", "/", "", "Connection", "Upgrade", "Upgrade", "echo")
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %v, %v", res, err)
	}
	tunnel, ok := res.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatalf("the body is %T", res.Body)
	}
	if _, err := io.WriteString(tunnel, "hello"); err != nil {
		t.Fatal(err)
	}
	heard := make([]byte, 5)
	if _, err := io.ReadFull(tunnel, heard); err != nil || string(heard) != "hello" {
		t.Errorf("heard %q, %v", heard, err)
	}
	if s := b.Status(); s.Busy != 1 {
		t.Errorf("meanwhile %+v", s)
	}
	_ = tunnel.Close()
	if s := b.Status(); s.Busy != 0 {
		t.Errorf("afterwards %+v", s)
	}
}

func TestReferences(t *testing.T) {
	d := Definition()
	for _, text := range []string{
		"gcf:orders@europe-west1/shop-42", "gcf:https://europe-west1-shop-42.cloudfunctions.net/orders", "run:orders@europe-west1/123456789012", "run:https://orders-abc.a.run.app",
	} {
		scheme, rest, _ := strings.Cut(text, ":")
		for _, s := range d.Schemes() {
			if s.Name != scheme {
				continue
			}
			ref := config.Ref{Scheme: scheme, Rest: rest}
			if err := s.Check(ref); err != nil {
				t.Errorf("%s: %v", text, err)
			}
			if c, err := s.Inline(ref); err != nil || d.Check(function.Env{}, c) != nil {
				t.Errorf("%s: %v, %v", text, c, err)
			}
		}
	}
	for _, rest := range []string{"a b", "orders@nowhere", "http://orders.test", "https://orders.{region}.run.app", "orders@europe-west1/"} {
		for _, s := range d.Schemes() {
			if err := s.Check(config.Ref{Scheme: s.Name, Rest: rest}); err == nil {
				t.Errorf("%s:%s is taken", s.Name, rest)
			}
		}
	}
	if _, err := d.Scheme.Inline(config.Ref{Scheme: "gcf", Rest: "orders"}); err == nil {
		t.Error("a name alone says where it is")
	}
}

func TestWhatIsWrongWithAConfig(t *testing.T) {
	for text, want := range map[string]string{
		"gcf: https://a.test\nregions: [europe-west1]":                                "put {region} into it",
		"gcf: https://a.{region}.test":                                                "say which there are",
		"gcf: a@europe-west1/shop-42\nregions: [us-central1]":                         "they do not hold europe-west1",
		"gcf: a@europe-west1/shop-42\nregions: [europe-west1, europe-west1]":          "stands there twice",
		"gcf: https://a.test\naudience: b\nidentity: none":                            "no token that could be for anybody",
		"gcf: https://a.test\nidentity: { delegates: [a@b.iam.gserviceaccount.com] }": "they lead to nobody",
		"gcf: https://a.test\ntimeout: 2h":                                            "as long as a request to Cloud Run may take",
		"gcf: https://a.test\nlimits: { concurrency: -1 }":                            "limits.concurrency",
		"gcf: https://a.test\nidentity: { credentials: '{}' }":                        "identity.credentials: it stands in the config itself",
		"gcf: https://a.test\nidentity: { credentials: '${env:WEIR_NO_SUCH}' }":       "identity.credentials",
	} {
		var ps doc.Problems
		c := defaults()
		doc.Decode(doc.Parse("weir.yaml", []byte(text), &ps), &c, &ps)
		if ps.Failed() {
			t.Errorf("%s: %v", text, ps.Sorted())
			continue
		}
		err := check(function.Env{Secret: secret.Resolve}, &c)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Where a function of a group is by its own words, is held before it is called.
func TestWhatAGroupMayNotReach(t *testing.T) {
	d := Definition()
	kinds := []config.Kind{{Name: d.Kind, New: d.New}}
	const text = `listen: :8080
groups:
  team:
    allow: ["*"]
    functions:
      declared: { gcf: "%[1]s", identity: none }
    routes:
      GET /named: run:%[1]s
`
	for url, want := range map[string]string{
		"https://169.254.169.254/latest": `"169.254.169.254"`, "https://127.0.0.1": `"127.0.0.1"`, "https://[::1]:8443/x": `"[::1]:8443"`, "https://orders-1.europe-west1.run.app/x": "",
	} {
		r := config.Load([]config.Source{{Path: "weir.yaml", Data: fmt.Appendf(nil, text, url)}}, config.Vocabulary{Functions: kinds, Schemes: d.Schemes()})
		got := fmt.Sprint(r.Problems)
		if want == "" && r.Config == nil || want != "" && strings.Count(got, `the group "team" may not reach `+want) != 2 {
			t.Errorf("%s: %s", url, got)
		}
	}
}
