package admin_test

import (
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/admin"
	"github.com/weir-gateway/weir/internal/control/follow"
	"github.com/weir-gateway/weir/internal/control/history"
	"github.com/weir-gateway/weir/internal/control/reconcile"
	"github.com/weir-gateway/weir/internal/traffic/route"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
	"github.com/weir-gateway/weir/internal/wire/secure"
	"github.com/weir-gateway/weir/internal/wire/secure/securetest"
)

func api(token string) (http.Handler, *slog.LevelVar, *snapshot.Gateway) {
	g := snapshot.NewGateway(snapshot.Options{})
	level := &slog.LevelVar{}
	r := reconcile.New(reconcile.Options{})
	f := follow.New(follow.Options{Reconciler: r, History: history.New(1), Log: slog.New(slog.DiscardHandler)})
	return admin.New(admin.Options{
		Gateway: g, Reconciler: r, Follower: f, Token: secret.NewValue(token),
		Expand: func(*config.Config) []byte { return nil }, Level: level, Version: "test",
		Metrics: telemetry.New("test").Handler(),
	}), level, g
}

func call(h http.Handler, method, target, remote string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader("debug"))
	r.RemoteAddr = remote
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const here, elsewhere = "127.0.0.1:5000", "192.0.2.7:5000"

func TestWhoMayAskWhat(t *testing.T) {
	const bearer = "Bearer right"
	for name, c := range map[string]struct {
		token, method, path, remote string
		header                      []string
		want                        int
	}{
		"loopback reads":                        {"", "GET", "/v1/status", here, []string{"Host", "localhost:8081"}, 200},
		"loopback by address":                   {"", "GET", "/v1/status", here, []string{"Host", "127.0.0.1:8081"}, 200},
		"loopback by IPv6":                      {"", "GET", "/v1/status", "[::1]:5", []string{"Host", "[::1]:8081"}, 200},
		"a Unix socket":                         {"", "GET", "/v1/status", "@", []string{"Host", "weir"}, 200},
		"a rebound name":                        {"", "GET", "/v1/status", here, []string{"Host", "evil.dev:8081"}, 421},
		"a name that only begins like ours":     {"", "GET", "/v1/status", here, []string{"Host", "localhost.evil.dev"}, 421},
		"a page of another origin":              {"", "GET", "/v1/status", here, []string{"Host", "localhost", "Origin", "https://evil.dev"}, 403},
		"a page of another port here":           {"", "GET", "/v1/status", here, []string{"Host", "localhost", "Origin", "http://localhost:3000"}, 403},
		"a link on another site":                {"", "GET", "/v1/status", here, []string{"Host", "localhost", "Sec-Fetch-Site", "cross-site"}, 403},
		"an address typed into a browser":       {"", "GET", "/v1/status", here, []string{"Host", "localhost", "Sec-Fetch-Site", "none"}, 200},
		"another machine":                       {"right", "GET", "/v1/status", elsewhere, []string{"Host", "localhost"}, 401},
		"another machine with the token":        {"right", "GET", "/v1/status", elsewhere, []string{"Authorization", bearer}, 200},
		"another machine with a wrong token":    {"right", "GET", "/v1/status", elsewhere, []string{"Authorization", "Bearer wrong"}, 401},
		"another machine, no token exists":      {"", "GET", "/v1/status", elsewhere, []string{"Authorization", "Bearer "}, 401},
		"another machine's probe":               {"", "GET", "/healthz", elsewhere, nil, 200},
		"a probe that wants to change":          {"", "PUT", "/healthz", elsewhere, nil, 401},
		"a change without a token":              {"right", "PUT", "/v1/log-level", here, []string{"Host", "localhost"}, 401},
		"a change where no token exists":        {"", "PUT", "/v1/log-level", here, []string{"Host", "localhost"}, 403},
		"a change with an empty bearer":         {"", "PUT", "/v1/log-level", here, []string{"Host", "localhost", "Authorization", "Bearer "}, 403},
		"a change with the token":               {"right", "PUT", "/v1/log-level", here, []string{"Authorization", bearer}, 204},
		"a change disguised by a query":         {"right", "PUT", "/v1/log-level?token=right", here, []string{"Host", "localhost"}, 401},
		"a question with a body":                {"", "POST", "/v1/explain?url=/", here, []string{"Host", "localhost"}, 503},
		"such a question of a page":             {"", "POST", "/v1/explain?url=/", here, []string{"Host", "localhost", "Origin", "https://evil.dev"}, 403},
		"such a question of another machine":    {"right", "POST", "/v1/explain?url=/", elsewhere, []string{"Host", "localhost"}, 401},
		"a path that does not exist":            {"", "GET", "/v2", here, []string{"Host", "localhost"}, 404},
		"readiness before any configuration is": {"", "GET", "/readyz", elsewhere, nil, 503},
	} {
		t.Run(name, func(t *testing.T) {
			h, level, _ := api(c.token)
			w := call(h, c.method, c.path, c.remote, c.header...)
			if w.Code != c.want {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, c.want)
			}
			if changed := level.Level() == slog.LevelDebug; changed != (c.want == 204) {
				t.Errorf("the level is %v", level.Level())
			}
		})
	}
}

// A parameter that is not heard must not be taken for one that is not there.
func TestParametersThatAreNotKnownAreRefused(t *testing.T) {
	h, _, _ := api("right")
	for target, want := range map[string]string{
		"PUT /v1/config?dryrun=true":                `There is no parameter "dryrun" here; did you mean "dry_run"?`,
		"PUT /v1/config?DRY_RUN=true":               `There is no parameter "DRY_RUN" here; did you mean "dry_run"?`,
		"PUT /v1/config?dry_run=true;x":             "The query cannot be read: invalid semicolon separator in query.",
		"PUT /v1/config?dry_run=false&dry_run=true": `The parameter "dry_run" is given more than once.`,
		"DELETE /v1/config?dry_run=true":            `There is no parameter "dry_run" here; none is known.`,
		"POST /v1/reload?dry_run=true":              `There is no parameter "dry_run" here; none is known.`,
		"POST /v1/rollback?digest=0123":             `There is no parameter "digest" here; known: to.`,
		"GET /v1/config?fromat=elements":            `There is no parameter "fromat" here; did you mean "format"?`,
		"GET /v1/explain?uri=/":                     `There is no parameter "uri" here; did you mean "url"?`,
		"POST /v1/explain?url=/&body=x":             `There is no parameter "body" here; known: method, url, header, as, client, socket, format.`,
		"GET /v1/explain?url=/&url=/a":              `The parameter "url" is given more than once.`,
		"PUT /v1/log-level?level=debug":             `There is no parameter "level" here; none is known.`,
		"GET /v1/history/0123456789abcdef?as=me":    `There is no parameter "as" here; known: format.`,
		"PUT /v1/config?%zz=1":                      `The query cannot be read: invalid URL escape "%zz".`,
	} {
		method, path, _ := strings.Cut(target, " ")
		r := httptest.NewRequest(method, "/", strings.NewReader("debug"))
		r.URL.Path, r.URL.RawQuery, _ = strings.Cut(path, "?")
		r.RemoteAddr = here
		r.Header.Set("Authorization", "Bearer right")
		r.Header.Set("If-Match", "*")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var got struct{ Code, Detail string }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 400 || got.Code != "bad-parameter" || got.Detail != want {
			t.Errorf("%s: got %d %s", target, w.Code, w.Body)
		}
	}
}

func TestWhatIsForTheMachineryTakesAnyParameter(t *testing.T) {
	h, _, _ := api("")
	for _, path := range []string{"/healthz?x=1", "/metrics?x=1", "/debug/pprof/goroutine?x=1&debug=1"} {
		if w := call(h, "GET", path, here, "Host", "localhost"); w.Code != 200 {
			t.Errorf("%s: got %d %s", path, w.Code, w.Body)
		}
	}
}

func TestAWrongMethodIsToldWhichAreRight(t *testing.T) {
	h, _, _ := api("right")
	for target, allow := range map[string]string{
		"PATCH /v1/config":       "GET, HEAD, PUT, DELETE",
		"GET /v1/reload":         "POST",
		"POST /v1/history/ab":    "GET, HEAD",
		"DELETE /":               "GET, HEAD",
		"POST /debug/pprof/heap": "GET, HEAD",
		"PATCH /v2":              "",
	} {
		method, path, _ := strings.Cut(target, " ")
		w := call(h, method, path, here, "Authorization", "Bearer right")
		if want := map[bool]int{true: 405, false: 404}[allow != ""]; w.Code != want || w.Header().Get("Allow") != allow {
			t.Errorf("%s: got %d, Allow %q", target, w.Code, w.Header().Get("Allow"))
		}
	}
}

func TestWhoMayScrape(t *testing.T) {
	open := snapshot.Scrape{Open: true}
	closed := snapshot.Scrape{}
	scraper := snapshot.Scrape{Token: secret.NewValue("scraper")}
	for name, c := range map[string]struct {
		scrape       snapshot.Scrape
		path, remote string
		header       []string
		want         int
	}{
		"this machine":                        {closed, "/metrics", here, []string{"Host", "localhost:8081"}, 200},
		"another machine":                     {closed, "/metrics", elsewhere, nil, 401},
		"another machine with its token":      {scraper, "/metrics", elsewhere, []string{"Authorization", "Bearer scraper"}, 200},
		"another machine with the admin's":    {scraper, "/metrics", elsewhere, []string{"Authorization", "Bearer right"}, 200},
		"another machine with a wrong one":    {scraper, "/metrics", elsewhere, []string{"Authorization", "Bearer wrong"}, 401},
		"the scraper's token for more":        {scraper, "/v1/config", elsewhere, []string{"Authorization", "Bearer scraper"}, 401},
		"another machine where it is open":    {open, "/metrics", elsewhere, nil, 200},
		"a page of another origin":            {open, "/metrics", elsewhere, []string{"Origin", "https://evil.dev"}, 403},
		"open is not open for more":           {open, "/v1/status", elsewhere, nil, 401},
		"profiles, from this machine":         {open, "/debug/pprof/goroutine?debug=1", here, []string{"Host", "localhost:8081"}, 200},
		"profiles, from another machine":      {open, "/debug/pprof/goroutine?debug=1", elsewhere, nil, 401},
		"profiles, with the token":            {open, "/debug/pprof/goroutine?debug=1", elsewhere, []string{"Authorization", "Bearer right"}, 200},
		"profiles, with the scraper's token":  {scraper, "/debug/pprof/heap", elsewhere, []string{"Authorization", "Bearer scraper"}, 401},
		"profiles, for a page somewhere else": {open, "/debug/pprof/heap", here, []string{"Host", "localhost", "Origin", "https://evil.dev"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			h, _, g := api("right")
			g.Swap(&snapshot.Snapshot{Scrape: c.scrape})
			if w := call(h, "GET", c.path, c.remote, c.header...); w.Code != c.want {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, c.want)
			}
		})
	}
}

func TestReadyOnceASnapshotServes(t *testing.T) {
	h, _, g := api("")
	g.Swap(&snapshot.Snapshot{})
	if w := call(h, "GET", "/readyz", elsewhere); w.Code != 200 {
		t.Errorf("got %d", w.Code)
	}
}

func TestExplainSaysWhatIsWrongWithTheQuestion(t *testing.T) {
	h, _, g := api("")
	g.Swap(&snapshot.Snapshot{})
	w := call(h, "GET", "/v1/explain?url=orders", here, "Host", "localhost")
	if w.Code != 400 || !strings.Contains(w.Body.String(), "write a path such as") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	g.Swap(&snapshot.Snapshot{Listeners: []*snapshot.Listener{{Name: "public", Socket: "public", Table: &route.Table[*snapshot.Route]{}}}})
	w = call(h, "GET", "/v1/explain?url=/orders&format=mermaid", here, "Host", "localhost")
	if w.Code != 400 || !strings.Contains(w.Body.String(), "no composition answers this request") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// A body comes in as many pieces as the network likes.
func TestTheLogLevelIsReadWhole(t *testing.T) {
	for body, want := range map[string]int{"debug": 204, "debug\n": 204, "": 400, "loud": 400, "debug and all that follows": 400} {
		h, level, _ := api("right")
		r := httptest.NewRequest("PUT", "/v1/log-level", iotest.OneByteReader(strings.NewReader(body)))
		r.Header.Set("Authorization", "Bearer right")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want || (level.Level() == slog.LevelDebug) != (want == 204) {
			t.Errorf("%q: got %d, the level is %v", body, w.Code, level.Level())
		}
	}
}

func TestStatusTellsWhenCertificatesEnd(t *testing.T) {
	h, _, g := api("")
	policy, err := secure.New(secure.Options{Certificates: []tls.Certificate{securetest.NewAuthority(t, "a").Issue([]string{"shop.dev", "192.0.2.1"})}})
	if err != nil {
		t.Fatal(err)
	}
	g.Swap(&snapshot.Snapshot{Listeners: []*snapshot.Listener{{Name: "plain"}, {Name: "public", TLS: true, Policy: policy}}})
	var status struct {
		Certificates []struct {
			Listener string
			Names    []string
			NotAfter time.Time `json:"not_after"`
		}
	}
	w := call(h, "GET", "/v1/status", here, "Host", "localhost")
	if err := json.Unmarshal(w.Body.Bytes(), &status); err != nil {
		t.Fatal(err)
	}
	if c := status.Certificates; len(c) != 1 || c[0].Listener != "public" || !slices.Equal(c[0].Names, []string{"shop.dev", "192.0.2.1"}) || !c[0].NotAfter.After(time.Now()) {
		t.Errorf("got %+v", c)
	}
}

func TestTheKeysOfTheGatewaysTokensArePublished(t *testing.T) {
	h, _, g := api("")
	if w := call(h, "GET", "/v1/keys", here, "Host", "localhost"); w.Code != 503 {
		t.Errorf("before there is a config: %d", w.Code)
	}
	for keys, want := range map[string]string{"": `{"keys":[]}`, `{"kty":"OKP"}`: `{"keys":[{"kty":"OKP"}]}`} {
		s := &snapshot.Snapshot{}
		if keys != "" {
			s.PublicKeys = []json.RawMessage{json.RawMessage(keys)}
		}
		g.Swap(s)
		w := call(h, "GET", "/v1/keys", here, "Host", "localhost")
		if strings.TrimSpace(w.Body.String()) != want || w.Header().Get("Content-Type") != "application/jwk-set+json" {
			t.Errorf("%s as %s", w.Body, w.Header().Get("Content-Type"))
		}
	}
}
