package compile_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
)

// named are backends that tell their names.
func named(t *testing.T, names ...string) (addresses []string) {
	t.Helper()
	for _, name := range names {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, name) }))
		t.Cleanup(s.Close)
		addresses = append(addresses, strings.TrimPrefix(s.URL, "http://"))
	}
	return addresses
}

func TestAServiceIsBalancedAsTheConfigSays(t *testing.T) {
	w := newWorld(t)
	at := named(t, "a", "b", "c")
	config := func(balance string) string {
		return fmt.Sprintf("zone: z\nservices:\n  s:\n    endpoints: [%s, %s, {address: %q, zone: z}]\n    balance: %s\nroutes:\n  GET /{user}: s\n", at[0], at[1], at[2], balance)
	}
	who := func(user, cookie string) string { return w.get("/"+user, "Cookie", cookie).Body.String() }

	w.serve(w.load(config("round-robin")))
	for range 10 {
		if got := who("x", ""); got != "c" {
			t.Fatalf("%s answered, which is not of the gateway's zone", got)
		}
	}
	w.serve(w.load(config("{ by: round-robin, zone: any }")))
	seen := map[string]int{}
	for range 30 {
		seen[who("x", "")]++
	}
	if seen["a"] != 10 || seen["b"] != 10 || seen["c"] != 10 {
		t.Errorf("in turn: %v", seen)
	}
	w.serve(w.load(config("{ hash: =path.user }")))
	users := map[string]bool{}
	for user := range strings.FieldsSeq("ada bob eve joe kim leo mia tom ann ben") {
		first := who(user, "")
		users[first] = true
		for range 5 {
			if again := who(user, ""); again != first {
				t.Errorf("%s came to %s, then to %s", user, first, again)
			}
		}
	}
	if len(users) < 2 {
		t.Errorf("all users came to %v", users)
	}
	w.serve(w.load(config("{ by: random, zone: any, cookie: { ttl: 1h, same_site: strict, path: /x, secret: key } }")))
	answer := w.get("/x")
	first, set := answer.Body.String(), answer.Header().Get("Set-Cookie")
	cookie, attributes, _ := strings.Cut(set, ";")
	if attributes != " Path=/x; Max-Age=3600; HttpOnly; Secure; SameSite=Strict" || !strings.HasPrefix(cookie, "weir-") {
		t.Errorf("the cookie is %q", set)
	}
	for range 20 {
		if again := who("x", cookie); again != first {
			t.Errorf("a client of %s came to %s", first, again)
		}
	}
}

// A change of how a service is balanced, of its budget and its breaker, is no other service.
func TestAnotherBalanceKeepsWhatIsUnderWay(t *testing.T) {
	w := newWorld(t)
	entered, let := make(chan string, 10), make(chan struct{})
	var addresses []string
	for range 2 {
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			entered <- r.Host
			if r.URL.Path == "/wait" {
				<-let
			}
		}))
		t.Cleanup(s.Close)
		addresses = append(addresses, strings.TrimPrefix(s.URL, "http://"))
	}
	config := func(more string) string {
		return fmt.Sprintf("services:\n  s:\n    endpoints: [%s]\n    %s\nroutes:\n  GET /**: s\n", strings.Join(addresses, ", "), more)
	}
	w.serve(w.load(config("balance: least-requests")))
	done := make(chan struct{})
	go func() { defer close(done); w.get("/wait") }()
	<-entered
	w.serve(w.load(config("breaker: { per_endpoint: 1, pending: 0 }")))
	if got := w.get("/go").Code; got != http.StatusOK {
		t.Errorf("the other endpoint is free, and the answer is %d", got)
	}
	w.serve(w.load(config("breaker: { requests: 1, pending: 0 }")))
	if got := w.get("/go"); got.Code != http.StatusServiceUnavailable || !strings.Contains(got.Body.String(), "backend-busy") {
		t.Errorf("one is under way, and the answer is %d %s", got.Code, got.Body)
	}
	close(let)
	await.From(t, "the end of the request that waited", done)
	if got := w.get("/go").Code; got != http.StatusOK {
		t.Errorf("nothing is under way, and the answer is %d", got)
	}
}
