package batch_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/batch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// routes are the gateway's own, as an Entrance.
type routes func(w http.ResponseWriter, r *http.Request, within exchange.Within)

func (f routes) Enter(w http.ResponseWriter, r *http.Request, within exchange.Within) {
	f(w, r, within)
}

// echo answers with what it was asked.
func echo(w http.ResponseWriter, r *http.Request, within exchange.Within) {
	var b bytes.Buffer
	_ = r.Header.Write(&b)
	fmt.Fprintf(&b, "id %s group %q host %s tls %v\n", within.ID, within.Group, r.Host, r.TLS != nil)
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprintf(w, "%s %s\n%s%s", r.Method, r.RequestURI, strings.ReplaceAll(b.String(), "\r", ""), body)
}

// outcome is what a batch came to.
type outcome struct {
	code      string // of the problem of all of it
	detail    string
	problems  []string
	Responses []struct {
		ID      string
		Status  int
		Headers map[string]string
		Body    json.RawMessage
	}
}

// send sends a batch on a route with the filter, as a browser's page of shop.dev.
func send(t testing.TB, entrance routes, body string, change func(*batch.Config, *http.Request)) outcome {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "https://shop.dev/batch", strings.NewReader(body))
	for name, value := range map[string]string{
		"Content-Type": "application/json; charset=utf-8", "Authorization": "Bearer t", "Cookie": "s=1", "Origin": "https://shop.dev",
		"Sec-Fetch-Site": "same-origin", "X-Tenant": "a", "User-Agent": "curl", "X-Forwarded-For": "10.0.0.9", "X-Request-Id": "b",
	} {
		r.Header.Set(name, value)
	}
	d := batch.Definition()
	c, ok := d.New().(*batch.Config)
	if !ok {
		t.Fatal("another config")
	}
	if change != nil {
		change(c, r)
	}
	p, err := d.Build(filter.Env{Group: "shop", Log: slog.New(slog.DiscardHandler)}, c)
	if err != nil {
		t.Fatal(err)
	}
	x := &exchange.Exchange{
		ID: r.Header.Get("X-Request-Id"), Entrance: entrance, Inner: r.Header.Get("X-Inner") != "",
		Client: exchange.Client{IP: netip.MustParseAddr("192.0.2.1"), Scheme: "https", Host: "shop.dev"},
	}
	var out outcome
	p.Guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		r.Header.Del("Authorization") // as auth does
		res, err := p.Adapt(nil).RoundTrip(r)
		if err != nil {
			f := fault.From(err)
			out.code, out.detail, out.problems = f.Code, f.Detail, f.Problems
			return
		}
		if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
	})).ServeHTTP(httptest.NewRecorder(), exchange.With(r, x))
	return out
}

// parts makes a batch of parts.
func parts(list ...string) string { return `{"requests":[` + strings.Join(list, ",") + `]}` }

func TestAPartIsWhatTheClientCouldHaveSentByItself(t *testing.T) {
	got := send(t, echo, parts(
		`{"id":"get","method":"GET","url":"/orders/1?full=1"}`,
		`{"id":"own","method":"PUT","url":"/x","headers":{"authorization":"Bearer own","X-Note":" a "},"body":{"n": 9007199254740993}}`,
		`{"id":"text","method":"POST","url":"/x","headers":{"Content-Type":"text/plain"},"body":"a\nb"}`,
		`{"id":"bytes","method":"POST","url":"/x","headers":{"Content-Type":"image/png"},"body":"AAH/"}`,
	), func(c *batch.Config, _ *http.Request) { c.Inherit = append(c.Inherit, "x-tenant") })
	inherited := func(lines ...string) string {
		lines = append(lines, "Cookie: s=1", "Origin: https://shop.dev", "Sec-Fetch-Site: same-origin", "User-Agent: curl", "X-Tenant: a")
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	for i, want := range []string{
		"GET /orders/1?full=1\n" + inherited("Authorization: Bearer t") + "\nid b.1 group \"shop\" host shop.dev tls true\n",
		"PUT /x\n" + inherited("Authorization: Bearer own", "X-Note: a", "Content-Type: application/json") + "\nid b.2 group \"shop\" host shop.dev tls true\n{\"n\": 9007199254740993}",
		"POST /x\n" + inherited("Authorization: Bearer t", "Content-Type: text/plain") + "\nid b.3 group \"shop\" host shop.dev tls true\na\nb",
		"POST /x\n" + inherited("Authorization: Bearer t", "Content-Type: image/png") + "\nid b.4 group \"shop\" host shop.dev tls true\n\x00\x01\xff",
	} {
		var text string
		if err := json.Unmarshal(got.Responses[i].Body, &text); err != nil {
			t.Fatal(err)
		}
		if decoded, err := base64.StdEncoding.DecodeString(text); err == nil { // it is no UTF-8
			text = string(decoded)
		}
		if text != want {
			t.Errorf("part %d got\n%q\nwant\n%q", i, text, want)
		}
	}
}

func TestWhatIsNoBatchRunsNothing(t *testing.T) {
	ok := `{"id":"1","method":"GET","url":"/"}`
	for body, want := range map[string]string{
		`[]`:                                "A batch is an object with the one member requests, which is a list.",
		`{"requests":[`:                     "The body is not JSON: the text ends where a value is expected at byte 13.",
		`{"requests":[],"x":1}`:             "A batch is an object with the one member requests, which is a list.",
		parts(ok, ok):                       "At byte 55: requests[1].id is that of another part.",
		parts(`1`):                          "At byte 13: requests[0] is no object.",
		parts(`{"method":"GET","url":"/"}`): "At byte 13: requests[0].id is missing, or no text of 1 to 64 visible ASCII characters.",
		parts(`{"id":1,"method":"GET","url":"/"}`):                                                       "At byte 19: requests[0].id is a number and no string.",
		parts(`{"id":"1","url":"/"}`):                                                                    "At byte 13: requests[0].method is missing, or none that a part can have.",
		parts(`{"id":"1","method":"CONNECT","url":"/"}`):                                                 "At byte 32: requests[0].method is missing, or none that a part can have.",
		parts(`{"id":"1","method":"GET /x HTTP/1.1","url":"/"}`):                                         "At byte 32: requests[0].method is missing, or none that a part can have.",
		parts(`{"id":"1","method":"GET","url":"http://internal/"}`):                                      "At byte 44: requests[0].url is missing, or no path on this host, as /orders/1?full=1.",
		parts(`{"id":"1","method":"GET","url":"//internal/"}`):                                           "At byte 44: requests[0].url is missing, or no path on this host, as /orders/1?full=1.",
		parts(`{"id":"1","method":"GET","url":"/a b"}`):                                                  "At byte 44: requests[0].url is missing, or no path on this host, as /orders/1?full=1.",
		parts(`{"id":"1","method":"GET","url":"/%zz"}`):                                                  "At byte 44: requests[0].url is no path on this host, as /orders/1?full=1.",
		parts(`{"id":"1","method":"GET","url":"/","headers":{"Host":"x"}}`):                              "At byte 66: requests[0].headers has Host, which only the batch itself has.",
		parts(`{"id":"1","method":"GET","url":"/","headers":{"x_forwarded_for":"x"}}`):                   "At byte 77: requests[0].headers has x_forwarded_for, which only the batch itself has.",
		parts(`{"id":"1","method":"GET","url":"/","headers":{"origin":"x"}}`):                            "At byte 68: requests[0].headers has origin, which only the batch itself has.",
		parts(`{"id":"1","method":"GET","url":"/","headers":{"Sec-Fetch-Site":"none"}}`):                 "At byte 76: requests[0].headers has Sec-Fetch-Site, which only the batch itself has.",
		parts(`{"id":"1","method":"GET","url":"/","headers":{"Upgrade":"websocket"}}`):                   "At byte 69: requests[0].headers has Upgrade, which only the batch itself has.",
		parts(`{"id":"1","method":"GET","url":"/","headers":{"X":"a\nb"}}`):                              `At byte 63: requests[0].headers has "X", which no field can be named, or with a value that none can have.`,
		parts(`{"id":"1","method":"GET","url":"/","headers":{"X":1}}`):                                   `At byte 63: requests[0].headers has "X", which no field can be named, or with a value that none can have.`,
		parts(`{"id":"1","method":"GET","url":"/","body":1}`):                                            "At byte 55: requests[0].body stands beside the method GET.",
		parts(`{"id":"1","method":"POST","url":"/","headers":{"Content-Type":"text/plain"},"body":{}}`):  "At byte 96: requests[0].body is no string, and no JSON by its Content-Type.",
		parts(`{"id":"1","method":"POST","url":"/","headers":{"Content-Type":"image/png"},"body":"%%"}`): "At byte 95: requests[0].body is neither JSON nor text by its Content-Type, and no Base64.",
		parts(`{"id":"1","method":"GET","url":"/","dependsOn":["2"]}`):                                   "At byte 61: requests[0].dependsOn has what is no id of a part before it.",
		parts(`{"id":"1","method":"GET","url":"/","atomicityGroup":"g"}`):                                `At byte 65: requests[0] has the member "atomicityGroup", and may have id, method, url, headers, body and dependsOn.`,
		parts(ok, `{"id":"2","method":"GET","url":"/"}`, `{"id":"3","method":"GET","url":"/"}`):          "The batch has 3 parts, and may have 2.",
	} {
		got := send(t, func(http.ResponseWriter, *http.Request, exchange.Within) { t.Errorf("%s: a part ran", body) }, body,
			func(c *batch.Config, _ *http.Request) { c.Requests = 2 })
		if got.code != "malformed-body" || got.detail != want {
			t.Errorf("%s: %s %q", body, got.code, got.detail)
		}
	}
}

func TestAllMistakesOfABatchAreToldAtOnce(t *testing.T) {
	none := func(http.ResponseWriter, *http.Request, exchange.Within) { t.Error("a part ran") }
	for body, want := range map[string]outcome{
		parts(`{"id":"1","method":"GET","url":"x","body":1,"headers":{"Host":"a","X":1}}`, `{"id":"2","method":"GET","url":"/","dependsOn":["1","3","4"]}`, `{"id":"1","method":7}`): {
			detail: "9 things are wrong with the batch.",
			problems: []string{
				"At byte 44: requests[0].url is missing, or no path on this host, as /orders/1?full=1.",
				"At byte 75: requests[0].headers has Host, which only the batch itself has.",
				`At byte 83: requests[0].headers has "X", which no field can be named, or with a value that none can have.`,
				"At byte 55: requests[0].body stands beside the method GET.",
				"At byte 139: requests[1].dependsOn has what is no id of a part before it.",
				"At byte 143: requests[1].dependsOn has what is no id of a part before it.",
				"At byte 155: requests[2].id is that of another part.",
				"At byte 168: requests[2].method is a number and no string.",
				"At byte 149: requests[2].url is missing, or no path on this host, as /orders/1?full=1.",
			},
		},
		parts(slices.Repeat([]string{`1`}, 20)...): {detail: "20 things are wrong with the batch.", problems: make([]string, 20)},
		parts(slices.Repeat([]string{`1`}, 21)...): {detail: "More than 20 things are wrong with the batch, these first.", problems: make([]string, 20)},
	} {
		got := send(t, none, body, func(c *batch.Config, _ *http.Request) { c.Requests = 30 })
		if got.detail != want.detail || len(got.problems) != len(want.problems) || want.problems[0] != "" && !slices.Equal(got.problems, want.problems) {
			t.Errorf("%s: %s\n%s", body, got.detail, strings.Join(got.problems, "\n"))
		}
	}
}

func TestNamesOfAnyLengthAreNotRepeated(t *testing.T) {
	got := send(t, nil, parts(`{"id":"1","method":"GET","url":"/","`+strings.Repeat("x", 1000)+`":1}`), nil)
	if got.code != "malformed-body" || len(got.detail) > 200 {
		t.Errorf("%s %s", got.code, got.detail)
	}
}

// A body of mistakes costs no more than one without: of what is not told nothing is kept.
func TestMistakesCostNoMemory(t *testing.T) {
	const many = 100_000
	for name, part := range map[string]string{
		"depends": `{"id":"1","method":"GET","url":"/","dependsOn":[0` + strings.Repeat(",0", many) + `]}`,
		"fields":  `{"id":"1","method":"GET","url":"/","headers":{` + strings.TrimPrefix(numbered(`,"%d":0`, many), ",") + `}}`,
		"members": `{"id":"1","method":"GET","url":"/"` + numbered(`,"%d":0`, many) + `}`,
	} {
		body := parts(part)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := send(t, nil, body, func(c *batch.Config, r *http.Request) { c.Body = 4 << 20 })
		runtime.ReadMemStats(&after)
		if got.code != "malformed-body" || len(got.problems) != 20 {
			t.Errorf("%s: %s, %d problems: %s", name, got.code, len(got.problems), got.detail)
		}
		if n := after.Mallocs - before.Mallocs; n > many/10 {
			t.Errorf("%s: %d allocations, %d bytes", name, n, after.TotalAlloc-before.TotalAlloc)
		}
	}
}

// numbered repeats a text that has a number.
func numbered(format string, many int) string {
	var b strings.Builder
	for i := range many {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func TestWhatIsRefusedAsAWhole(t *testing.T) {
	one := parts(`{"id":"1","method":"GET","url":"/"}`)
	for name, c := range map[string]struct {
		change func(*batch.Config, *http.Request)
		code   string
	}{
		"a form, as other sites send": {func(_ *batch.Config, r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, "unsupported-media-type"},
		"in brotli":                   {func(_ *batch.Config, r *http.Request) { r.Header.Set("Content-Encoding", "br") }, "unsupported-media-type"},
		"no gzip, though it says so":  {func(_ *batch.Config, r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, "malformed-body"},
		"another method":              {func(_ *batch.Config, r *http.Request) { r.Method = http.MethodPut }, "method-not-allowed"},
		"too large":                   {func(c *batch.Config, r *http.Request) { c.Body, r.ContentLength = 10, -1 }, "body-too-large"},
		"within a batch":              {func(_ *batch.Config, r *http.Request) { r.Header.Set("X-Inner", "1") }, "nested-batch"},
	} {
		if got := send(t, echo, one, c.change); got.code != c.code {
			t.Errorf("%s: %s", name, got.code)
		}
	}
}

func TestWhatBecomesOfResponses(t *testing.T) {
	answer := func(status int, body string, fields ...string) routes {
		return func(w http.ResponseWriter, _ *http.Request, _ exchange.Within) {
			for i := 0; i < len(fields); i += 2 {
				w.Header().Add(fields[i], fields[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, c := range map[string]struct {
		method string
		routes routes
		status int
		fields map[string]string
		body   string
	}{
		"JSON as it is": {"GET", answer(200, " {\"n\": 1.10} \n", "Content-Type", "application/json", "Content-Length", "13", "Connection", "close"), 200,
			map[string]string{"Content-Type": "application/json"}, `{"n": 1.10}`},
		"several lines":    {"GET", answer(200, "", "Vary", "A", "Vary", "B"), 200, map[string]string{"Vary": "A, B"}, ""},
		"no cookies":       {"GET", answer(200, `1`, "Content-Type", "application/json", "Set-Cookie", "a=b; HttpOnly"), 200, map[string]string{"Content-Type": "application/json"}, "1"},
		"text":             {"GET", answer(200, "a\"\n", "Content-Type", "text/html"), 200, map[string]string{"Content-Type": "text/html"}, `"a\"\n"`},
		"text of no UTF-8": {"GET", answer(200, "\xff", "Content-Type", "text/plain"), 200, map[string]string{"Content-Type": "text/plain"}, `"/w=="`},
		"of no type":       {"GET", answer(200, "ab"), 200, map[string]string{}, `"YWI="`},
		"in a coding": {"GET", answer(200, "{}", "Content-Type", "application/json", "Content-Encoding", "gzip"), 200,
			map[string]string{"Content-Type": "application/json", "Content-Encoding": "gzip"}, `"e30="`},
		"no JSON":     {"GET", answer(200, "{", "Content-Type", "application/json"), 502, nil, "batch-part-failed"},
		"nothing":     {"GET", answer(204, ""), 204, map[string]string{}, ""},
		"to HEAD":     {"HEAD", answer(200, "", "Content-Type", "application/json"), 200, map[string]string{"Content-Type": "application/json"}, ""},
		"too much":    {"GET", answer(200, strings.Repeat("x", 200), "Content-Type", "text/plain"), 502, nil, "batch-part-failed"},
		"cut off":     {"GET", func(http.ResponseWriter, *http.Request, exchange.Within) { panic(http.ErrAbortHandler) }, 502, nil, "batch-part-failed"},
		"a bug":       {"GET", func(http.ResponseWriter, *http.Request, exchange.Within) { panic("bug") }, 500, nil, "unexpected"},
		"early hints": {"GET", answer(103, "", "Link", "x"), 200, map[string]string{"Link": "x"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := send(t, c.routes, parts(`{"id":"a","method":"`+c.method+`","url":"/"}`), func(c *batch.Config, _ *http.Request) { c.Response = 100 })
			if len(got.Responses) != 1 {
				t.Fatalf("got %+v", got)
			}
			p := got.Responses[0]
			text := string(p.Body)
			if c.fields == nil {
				var problem struct {
					Code      string
					RequestID string `json:"request_id"`
				}
				if err := json.Unmarshal(p.Body, &problem); err != nil || problem.RequestID != "b.1" {
					t.Errorf("%v: %s", err, p.Body)
				}
				text = problem.Code
			} else if fmt.Sprint(p.Headers) != fmt.Sprint(c.fields) {
				t.Errorf("headers %v, want %v", p.Headers, c.fields)
			}
			if p.ID != "a" || p.Status != c.status || text != c.body {
				t.Errorf("got %s %d %s, want %d %s", p.ID, p.Status, text, c.status, c.body)
			}
		})
	}
}

func TestAllPartsTogetherHaveABound(t *testing.T) {
	list := make([]string, 5)
	for i := range list {
		list[i] = fmt.Sprintf(`{"id":"%d","method":"GET","url":"/"}`, i)
	}
	got := send(t, func(w http.ResponseWriter, _ *http.Request, _ exchange.Within) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, strings.Repeat("x", 30))
	}, parts(list...), func(c *batch.Config, _ *http.Request) { c.Response, c.Parallel = 100, 1 })
	failed := 0
	for _, p := range got.Responses {
		if p.Status == 502 {
			failed++
		}
	}
	if failed != 2 {
		t.Errorf("%d of 5 have failed where 3 fit", failed)
	}
}

func TestPartsRunAtOnceWithinTheirBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := make([]string, 10)
		for i := range list {
			list[i] = fmt.Sprintf(`{"id":"%d","method":"GET","url":"/%d"}`, i, i)
		}
		var under, most atomic.Int32
		opened := make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			got := send(t, func(w http.ResponseWriter, r *http.Request, _ exchange.Within) {
				most.Store(max(most.Load(), under.Add(1)))
				<-opened
				under.Add(-1)
				w.Header().Set("Content-Type", "text/plain")
				_, _ = io.WriteString(w, r.URL.Path)
			}, parts(list...), func(c *batch.Config, _ *http.Request) { c.Parallel = 3 })
			for i, p := range got.Responses { // in the order in which they were asked for
				if want := fmt.Sprintf(`"/%d"`, i); p.ID != fmt.Sprint(i) || string(p.Body) != want {
					t.Errorf("part %d is %s %s", i, p.ID, p.Body)
				}
			}
		})
		synctest.Wait()
		close(opened)
		all.Wait()
		if most.Load() != 3 {
			t.Errorf("%d at once", most.Load())
		}
	})
}

// An id is made when it is asked for first, and parts that run at once all ask for it.
func TestPartsShareAnIDThatTheBatchDidNotComeWith(t *testing.T) {
	var mu sync.Mutex
	ids := map[string]bool{}
	send(t, func(w http.ResponseWriter, _ *http.Request, within exchange.Within) {
		mu.Lock()
		defer mu.Unlock()
		id, _, _ := strings.Cut(within.ID, ".")
		ids[id] = true
		w.WriteHeader(http.StatusNoContent)
	}, parts(
		`{"id":"a","method":"GET","url":"/"}`, `{"id":"b","method":"GET","url":"/"}`, `{"id":"c","method":"GET","url":"/"}`,
	), func(_ *batch.Config, r *http.Request) { r.Header.Del("X-Request-Id") })
	if len(ids) != 1 || ids[""] {
		t.Errorf("the parts belong to %v", ids)
	}
}

func TestWhatDependsWaitsAndFailsAlong(t *testing.T) {
	var mu sync.Mutex
	var ran []string
	got := send(t, func(w http.ResponseWriter, r *http.Request, _ exchange.Within) {
		mu.Lock()
		ran = append(ran, r.URL.Path)
		mu.Unlock()
		status := http.StatusOK
		if r.URL.Path == "/bad" {
			status = http.StatusConflict
		}
		w.WriteHeader(status)
	}, parts(
		`{"id":"a","method":"GET","url":"/a"}`,
		`{"id":"b","method":"GET","url":"/bad","dependsOn":["a"]}`,
		`{"id":"c","method":"GET","url":"/c","dependsOn":["a","b"]}`,
		`{"id":"d","method":"GET","url":"/d","dependsOn":["c"]}`,
		`{"id":"e","method":"GET","url":"/e","dependsOn":["a"]}`,
	), nil)
	var statuses []int
	for _, p := range got.Responses {
		statuses = append(statuses, p.Status)
	}
	if !slices.Equal(statuses, []int{200, 409, 424, 424, 200}) {
		t.Errorf("got %v", statuses)
	}
	if len(ran) != 3 || ran[0] != "/a" {
		t.Errorf("ran %v", ran)
	}
}

func TestNothingGoesOnWhenTheClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var got outcome
		all.Go(func() {
			got = send(t, func(_ http.ResponseWriter, r *http.Request, _ exchange.Within) { <-r.Context().Done() },
				parts(`{"id":"a","method":"GET","url":"/a"}`, `{"id":"b","method":"GET","url":"/b","dependsOn":["a"]}`),
				func(_ *batch.Config, r *http.Request) { *r = *r.WithContext(ctx) })
		})
		synctest.Wait()
		leave()
		all.Wait()
		if got.code == "" {
			t.Errorf("who has left was answered: %+v", got)
		}
	})
}

// FuzzBatch holds that whatever a client writes is a batch of requests that could have
// come over the wire, or a problem.
func FuzzBatch(f *testing.F) {
	f.Add(parts(`{"id":"1","method":"GET","url":"/a?b=1","headers":{"Accept":"text/html"}}`))
	f.Add(parts(`{"id":"1","method":"POST","url":"/a","body":{"a":[1,2.50,"\ud800"]}}`, `{"id":"2","method":"PUT","url":"/","headers":{"content-type":"text/csv"},"body":"a","dependsOn":["1"]}`))
	f.Add(parts(`{"id":"1","method":"POST","url":"/","headers":{"Content-Type":"a/b"},"body":"AAA="}`))
	f.Fuzz(func(t *testing.T, text string) {
		got := send(t, func(w http.ResponseWriter, r *http.Request, _ exchange.Within) {
			var wire bytes.Buffer
			if err := r.Write(&wire); err != nil {
				t.Errorf("%q: %v", text, err)
			}
			if r.URL.Host != "" || !strings.HasPrefix(r.RequestURI, "/") || r.Host != "shop.dev" || r.Header.Get("Origin") != "https://shop.dev" {
				t.Errorf("%q goes to %q of %q", text, r.RequestURI, r.Host)
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.Copy(w, r.Body)
		}, text, nil)
		switch got.code {
		case "", "malformed-body", "body-too-large":
		default:
			t.Errorf("%q: %s", text, got.code)
		}
	})
}
