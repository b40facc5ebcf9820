package registryapi_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/traffic/registryapi"
	"github.com/weir-gateway/weir/internal/traffic/registryapi/registryapitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) *registry.Registry {
	t.Helper()
	r, err := registry.New(registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	r.Open()
	return r
}

// asked is a request and what is expected of its answer.
type asked struct {
	from, method, path, body string
	head                     []string
	status                   int
	want                     string // in the body
}

func ask(t *testing.T, h http.Handler, a asked) string {
	t.Helper()
	r := httptest.NewRequest(a.method, a.path, strings.NewReader(a.body))
	r.RemoteAddr, r.Host = a.from, "10.0.0.9:9090"
	if netip.MustParseAddrPort(a.from).Addr().IsLoopback() {
		r.Host = "localhost:9090"
	}
	for _, line := range a.head {
		name, value, _ := strings.Cut(line, ": ")
		if r.Header.Add(name, value); name == "Host" {
			r.Host = value
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != a.status || !strings.Contains(w.Body.String(), a.want) {
		t.Errorf("%s %s %s from %s: %d %s\nnot %d %s", a.method, a.path, a.body, a.from, w.Code, w.Body, a.status, a.want)
	}
	return w.Body.String()
}

const (
	here  = "127.0.0.1:40000"
	there = "10.0.0.7:40000"
	path  = "/v1/registry/services/users/instances/a-1"
)

func TestInstancesRegisterAndLeave(t *testing.T) {
	h := registryapitest.Handler(registryapi.New(registryapi.Options{Registry: open(t)}))
	for _, a := range []asked{
		{here, "POST", path + "/heartbeat", "", nil, 404, `"code":"instance-unknown"`},
		{here, "DELETE", path, "", nil, 404, "instance-unknown"},
		{here, "GET", path, "", nil, 404, "instance-unknown"},
		{here, "PUT", path, `{"port":9000,"zone":"a"}`, nil, 201, `{"service":"users","id":"a-1","address":"127.0.0.1","port":9000,"zone":"a","weight":1,"condition":"ready","ttl":"15s","deregister_after":"2m30s","state":"live","changed":"`},
		{here, "PUT", path, `{"port":9000,"zone":"a"}`, nil, 200, `"port":9000`},
		{here, "PUT", path, `{"port":9001,"zone":"a"}`, nil, 200, `"port":9001`},
		{here, "POST", path + "/heartbeat", "", nil, 204, ""},
		{there, "GET", path, "", nil, 200, `"port":9001`},
		{there, "GET", "/v1/registry/services/users", "", nil, 200, `"settled":false,"service":"users","instances":[{"service":"users","id":"a-1"`},
		{there, "GET", "/v1/registry/services/none", "", nil, 200, `"service":"none","instances":[]}`},
		{here, "PUT", "/v1/registry/services/orders/instances/b", `{"port":9002}`, nil, 201, ""},
		{there, "GET", "/v1/registry/services", "", nil, 200, `"services":{"orders":[{"service":"orders","id":"b"`},
		{there, "GET", "/v1/registry", "", nil, 200, `"instances":{"now":2,"most":50000}`},
		{here, "DELETE", path, "", nil, 204, ""},
		{here, "PUT", path, `{"port":0}`, nil, 422, `"detail":"port: is no number from 1 to 65535.","code":"instance-invalid"`},
		{here, "PUT", path, strings.Repeat(" ", 20000), nil, 413, "body-too-large"},
		{here, "PUT", "/v1/registry/services/a%2Fb/instances/c", `{"port":1}`, nil, 422, "service: "},
		{here, "GET", "/v1/registry/watch?from=x", "", nil, 410, "registry-compacted"},
		{here, "GET", "/v1/registry/watch?service=-", "", nil, 422, "instance-invalid"},
	} {
		if text := ask(t, h, a); a.status == 200 && !json.Valid([]byte(text)) {
			t.Errorf("%s is no JSON", text)
		}
	}
}

func TestWithoutTokensOnlyThisMachineRegisters(t *testing.T) {
	own := []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:8081")}
	h := registryapitest.Handler(registryapi.New(registryapi.Options{Registry: open(t), Own: func() []netip.AddrPort { return own }}))
	for _, a := range []asked{
		{there, "PUT", path, `{"port":9000}`, nil, 403, "Without tokens"},
		{there, "POST", path + "/heartbeat", "", nil, 403, "forbidden"},
		{there, "DELETE", path, "", nil, 403, "forbidden"},
		{here, "PUT", path, `{"port":9000}`, []string{"Origin: http://evil.example"}, 403, "web pages"},
		{here, "PUT", path, `{"port":9000}`, []string{"Host: rebound.example"}, 403, "rebound.example"},
		{here, "PUT", path, `{"port":9000}`, []string{"Via: 1.1 proxy"}, 403, "forbidden"},
		{there, "GET", "/v1/registry/services", "", []string{"Sec-Fetch-Site: cross-site"}, 403, "web pages"},
		{here, "PUT", path, `{"port":9000,"address":"10.9.9.9"}`, nil, 403, "instance-address-refused"},
		{here, "PUT", path, `{"port":9000,"address":"169.254.169.254"}`, nil, 403, "instance-address-refused"},
		{here, "PUT", path, `{"port":9000,"address":"127.0.0.2"}`, nil, 201, ""},
		{here, "PUT", path, `{"port":8081}`, nil, 403, "The gateway itself listens there"},
		{here, "PUT", path, `{"port":9000}`, nil, 200, ""},
	} {
		ask(t, h, a)
	}
}

func TestTokensSayWhatMayBeWritten(t *testing.T) {
	tokens := map[auth.Digest]*registryapi.Token{
		auth.DigestOf("all-0123456789abcdef"): {Name: "all"},
		auth.DigestOf("shop-0123456789abcdef"): {
			Name: "shop", Services: []string{"users", "shop-*"}, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("127.0.0.0/8")},
		},
	}
	r := open(t)
	h := registryapitest.Handler(registryapi.New(registryapi.Options{Registry: r, Tokens: tokens, Guarded: true, Allow: []netip.Prefix{netip.MustParsePrefix("169.254.7.0/24")}}))
	all, shop := []string{"Authorization: Bearer all-0123456789abcdef"}, []string{"Authorization: bearer shop-0123456789abcdef"}
	cart := "/v1/registry/services/shop-cart/instances/a"
	for _, a := range []asked{
		{here, "PUT", path, `{"port":9000}`, nil, 401, "unauthorized"},
		{there, "PUT", path, `{"port":9000}`, []string{"Authorization: Bearer wrong"}, 401, "does not know this token"},
		{there, "PUT", path, `{"port":9000}`, []string{"Authorization: Basic all-0123456789abcdef"}, 401, "unauthorized"},
		{there, "PUT", path, `{"port":9000}`, all, 201, `"address":"10.0.0.7"`},
		{there, "PUT", path, `{"port":9000,"address":"10.0.0.8"}`, all, 403, "not that of the connection"},
		{there, "PUT", path, `{"port":9000,"address":"10.0.0.8"}`, shop, 200, `"owner":"shop"`},
		{there, "PUT", cart, `{"port":9000}`, shop, 201, ""},
		{there, "PUT", "/v1/registry/services/orders/instances/a", `{"port":9000}`, shop, 403, "not for the service"},
		{there, "POST", "/v1/registry/services/orders/instances/a/heartbeat", "", shop, 403, "not for the service"},
		{there, "DELETE", "/v1/registry/services/orders/instances/a", "", shop, 403, "not for the service"},
		{there, "PUT", cart, `{"port":9000,"address":"169.254.169.254"}`, shop, 403, "where a cloud tells"},
		{there, "PUT", cart, `{"port":9000,"address":"169.254.8.1"}`, shop, 403, "a link-local address"},
		{there, "PUT", cart, `{"port":9000,"address":"169.254.7.1"}`, shop, 200, ""},
		{there, "PUT", cart, `{"port":9000,"address":"127.0.0.1"}`, shop, 403, "this machine"},
		{here, "PUT", cart, `{"port":9000}`, shop, 200, `"address":"127.0.0.1"`},
		{there, "GET", "/v1/registry/services", "", nil, 401, "unauthorized"},
		{there, "GET", "/v1/registry/watch", "", nil, 401, "unauthorized"},
		{there, "GET", "/v1/registry/services", "", shop, 200, "shop-cart"},
		{there, "DELETE", cart, "", all, 204, ""},
	} {
		ask(t, h, a)
	}
	r.Limit(registry.Limits{Instances: 1})
	ask(t, h, asked{there, "PUT", cart, `{"port":9000}`, all, 503, "registry-full"})
	r.Release()
	ask(t, h, asked{there, "PUT", path, `{"port":9000}`, all, 503, "registry-closed"})
}

// follow returns the lines of a watch.
func follow(t *testing.T, url string, head ...string) (next func() string, res *http.Response) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range head {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	res, err = http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	lines := make(chan string)
	go func() {
		defer close(lines)
		in := bufio.NewScanner(res.Body)
		for in.Scan() {
			select {
			case lines <- in.Text():
			case <-t.Context().Done():
				return
			}
		}
	}()
	return func() string { t.Helper(); return await.From(t, "a line of the watch", lines) }, res
}

func TestAWatchTellsWhatThereIsAndWhatChanges(t *testing.T) {
	r := open(t)
	api := registryapi.New(registryapi.Options{Registry: r, Beat: time.Minute})
	server := httptest.NewServer(registryapitest.Handler(api))
	defer server.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	put := func(service, id string) {
		t.Helper()
		i, err := registry.ParseBody(service, id, []byte(`{"port":80}`), netip.MustParseAddr("10.0.0.1"))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Put(i); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(next func() string, parts ...string) string {
		t.Helper()
		line := next()
		for _, part := range parts {
			if !strings.Contains(line, part) {
				t.Fatalf("the line is %s, without %s", line, part)
			}
		}
		return line
	}
	put("users", "a")
	next, res := follow(t, server.URL+"/v1/registry/watch")
	if got := res.Header.Get("Content-Type"); got != "application/x-ndjson" {
		t.Error(got)
	}
	expect(next, `{"event":"reset"}`)
	expect(next, `{"event":"put","instance":{"service":"users","id":"a"`)
	var synced struct{ Revision string }
	if err := json.Unmarshal([]byte(expect(next, `{"event":"synced","revision":"`, `"settled":false}`)), &synced); err != nil {
		t.Fatal(err)
	}
	put("users", "b")
	expect(next, `{"event":"put","revision":"`, `"id":"b"`)
	expect(next, "synced")
	if err := r.Remove("users", "a"); err != nil {
		t.Fatal(err)
	}
	expect(next, `{"event":"delete","revision":"`, `"service":"users","id":"a"}`)
	expect(next, "synced")

	resumed, _ := follow(t, server.URL+"/v1/registry/watch?from="+synced.Revision)
	expect(resumed, `"put"`, `"id":"b"`)
	expect(resumed, `"delete"`, `"id":"a"`)
	expect(resumed, "synced")

	events, res := follow(t, server.URL+"/v1/registry/watch?service=users", "Accept: text/event-stream")
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Error(got)
	}
	for _, want := range []string{"event: reset", `data: {"event":"reset"}`, "", "event: put", `data: {"event":"put","instance":{`, "", "id: ", "event: synced", `data: {"event":"synced"`, ""} {
		expect(events, want)
	}
	put("orders", "z") // belongs to another service
	put("users", "c")
	expect(events, "id: ")
	expect(events, "event: put")
	expect(events, `"id":"c"`)
	again, _ := follow(t, server.URL+"/v1/registry/watch?service=users&from=nonsense", "Accept: text/event-stream", "Last-Event-ID: "+synced.Revision)
	expect(again, "id: ")
	expect(again, "event: put")
	expect(again, `"id":"b"`)
	api.Supersede() // ends every watch; otherwise the server would not end
}

func TestAWatchSaysThatItStands(t *testing.T) {
	api := registryapi.New(registryapi.Options{Registry: open(t), Beat: 10 * time.Millisecond})
	server := httptest.NewServer(registryapitest.Handler(api))
	defer server.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	next, _ := follow(t, server.URL+"/v1/registry/watch")
	for _, want := range []string{"reset", "synced", `{"event":"heartbeat","revision":"`, "heartbeat"} {
		if line := next(); !strings.Contains(line, want) {
			t.Errorf("%s, not %s", line, want)
		}
	}
	api.Supersede()
}
