package attack_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/weir-gateway/weir/internal/auth/jwt/jwttest"
	"github.com/weir-gateway/weir/internal/base/await"
)

// attacks are raw requests by name.
type attacks map[string][]byte

// TestNobodyComesIn runs the table. Each attack is denied, with an answer that blames the client or with no answer.
// No backend is called, nor any host that an attack names.
func TestNobodyComesIn(t *testing.T) {
	w := newWorld(t)
	for _, class := range []struct {
		name string
		list attacks
	}{
		{"tokens", tokens(w.trap)},
		{"paths between auth and routing", paths()},
		{"paths over HTTP/2", pathsOverHTTP2()},
		{"targets that are no path", targets()},
		{"hosts", hosts()},
		{"credentials in other places", misplaced()},
		{"fields that tell who is calling", spoofed()},
		{"addresses of clients", addresses()},
		{"methods", methods()},
		{"upgrades", upgrades()},
		{"HTTP/2", http2Tricks()},
	} {
		t.Run(class.name, func(t *testing.T) {
			if len(class.list) < 4 {
				t.Errorf("there are only %d attacks in this class", len(class.list))
			}
			for name, raw := range class.list {
				before := w.calls()
				status := w.send(t, raw)
				if status != refused && (status < 400 || status >= 500) && status != 501 && status != 505 {
					t.Errorf("%s: %d\n%.300q", name, status, raw)
				}
				if n := w.calls() - before; n > 0 {
					t.Errorf("%s: %d, and a backend got %s %s\n%.300q", name, status, w.seen.Load().Method, w.seen.Load().RequestURI, raw)
				}
			}
			t.Logf("%d attacks", len(class.list))
		})
	}
	if n := w.trapped.Load(); n > 0 {
		t.Errorf("%d connections were made to where an attack said", n)
	}
}

// TestWhoMayComesIn is the control for the table: the same routes admit correct requests.
func TestWhoMayComesIn(t *testing.T) {
	w := newWorld(t)
	bearer := "Authorization: Bearer " + jwttest.Good("p256", "ES256")
	for name, c := range map[string]struct {
		raw    []byte
		status int
	}{
		"the open room":               {get("/public/x", "X-Nothing: 1"), 200},
		"with a token":                {get("/admin/x", bearer), 200},
		"with a token over HTTP/2":    {h2("GET", "/admin/x", "authorization", bearer[len("Authorization: "):]), 200},
		"with a key":                  {get("/partners/x", "X-API-Key: "+acmeKey), 200},
		"a token without the scope":   {get("/admin/x", "Authorization: Bearer "+jwttest.Good("p256", "ES256", "scope", "orders:read")), 403},
		"the staff's host":            {[]byte("GET /x HTTP/1.1\r\nHost: staff.shop.dev\r\nConnection: close\r\n" + bearer + "\r\n\r\n"), 200},
		"deleting with a token":       {request("DELETE /things/1", bearer), 200},
		"another method, as allowed":  {request("POST /admin/x", bearer, "X-HTTP-Method-Override: PATCH", "Content-Length: 0"), 200},
		"the same method, said twice": {request("GET /things/1", "X-HTTP-Method-Override: GET"), 200},
		"looking without":             {request("GET /things/1"), 200},
		"a form":                      {request("POST /forms/1?a=1&_method=POST&method=DELETE&my_method=DELETE&_method=", "Content-Length: 0"), 200},
		"a form that may be any":      {request("POST /public/1?_method=DELETE", "Content-Length: 0"), 200},
		"a query of another method":   {request("GET /things/1?_method=DELETE"), 200},
	} {
		before := w.calls()
		if status := w.send(t, c.raw); status != c.status || w.calls()-before != map[bool]int64{true: 1}[c.status == 200] {
			t.Errorf("%s: %d, %d calls", name, status, w.calls()-before)
		}
	}
}

// TestATokenGoesWithItsKey tests key rotation: a token was good and even cached, and then its key is removed from the
// file. From then on the token is denied like any attack.
func TestATokenGoesWithItsKey(t *testing.T) {
	w := newWorld(t)
	withdrawn := get("/admin/x", "Authorization: Bearer "+jwttest.Good("p256", "ES256"))
	staying := get("/admin/x", "Authorization: Bearer "+jwttest.Good("ed", "EdDSA"))
	for range 2 {
		if a, b := w.send(t, withdrawn), w.send(t, staying); a != 200 || b != 200 {
			t.Fatalf("at first: %d, %d", a, b)
		}
	}
	// A new file replaces the old one, as mounted secrets change.
	if err := os.WriteFile(w.keys+".new", jwttest.Set(jwttest.Issued()["ed"]), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(w.keys+".new", w.keys); err != nil {
		t.Fatal(err)
	}
	await.That(t, "the key is gone", func() bool { return w.send(t, withdrawn) == 401 })
	before := w.calls()
	for i := range 20 {
		if status := w.send(t, withdrawn); status != 401 || w.calls() > before {
			t.Fatalf("%d: %d after the key was gone", i, status)
		}
	}
	if status := w.send(t, staying); status != 200 {
		t.Errorf("the other key: %d", status)
	}
}

// TestClaimsOfCallersNeverArrive sends header fields that backends trust as set by the gateway, on the open route:
// the request reaches the backend, the fields do not.
func TestClaimsOfCallersNeverArrive(t *testing.T) {
	w := newWorld(t)
	for _, spelling := range identityFields() {
		for name, raw := range map[string][]byte{
			"HTTP/1.1": get("/public/x", spelling+": admin"), "twice": request("GET /public/x", spelling+": admin", spelling+": root"),
			"kept alive by Connection": request("GET /public/x", spelling+": admin", "Connection: keep-alive, "+spelling),
		} {
			if status := w.send(t, raw); status != 200 && status != 400 {
				t.Errorf("%s %s: %d", spelling, name, status)
				continue
			}
			for field, values := range w.seen.Load().Header {
				if fmt.Sprint(values) == "[admin]" || fmt.Sprint(values) == "[root]" || len(values) > 1 {
					t.Errorf("%s %s: the backend got %s: %v", spelling, name, field, values)
				}
			}
		}
	}
	// A client can neither remove nor double what the gateway sets.
	bearer := "Authorization: Bearer " + jwttest.Good("p256", "ES256")
	for _, field := range []string{"X-User: eve", "x_user: eve", "Connection: X-User", "Connection: close, x-user, X-User", "Trailer: X-User", "TE: trailers"} {
		if status := w.send(t, request("GET /admin/x", bearer, field)); status != 200 {
			t.Errorf("%s: %d", field, status)
			continue
		}
		if h := w.seen.Load().Header; fmt.Sprint(h["X-User"]) != "[ada]" || h["X_user"] != nil || h["Authorization"] != nil {
			t.Errorf("%s: the backend got %v", field, h)
		}
	}
}
