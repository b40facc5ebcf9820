package async

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/config/doc"
)

func TestWhatAnAttemptMeans(t *testing.T) {
	live := context.Background()
	cut, cancel := context.WithCancelCause(live)
	cancel(errors.New("the gateway is ending"))
	late, stop := context.WithTimeout(live, -1)
	defer stop()
	for name, c := range map[string]struct {
		got  queue.Outcome
		want queue.Verdict
		says string
	}{
		"200":               {ofStatus(200, 0), queue.Succeeded, ""},
		"302":               {ofStatus(302, 0), queue.Succeeded, ""},
		"404":               {ofStatus(404, 0), queue.Refused, "status 404"},
		"408":               {ofStatus(408, 0), queue.Again, "status 408"},
		"429":               {ofStatus(429, time.Minute), queue.NotNow, "status 429"},
		"500":               {ofStatus(500, 0), queue.Again, "status 500"},
		"503":               {ofStatus(503, 0), queue.NotNow, "status 503"},
		"nothing was sent":  {ofError(live, &exchange.SendError{Dial: true, Sent: exchange.SentNothing, Err: errCut}), queue.NotNow, "backend-unreachable"},
		"all was sent":      {ofError(live, &exchange.SendError{Sent: exchange.SentAll, Err: errCut}), queue.Again, "backend-reset"},
		"function busy":     {ofError(live, fault.FunctionBusy.New("")), queue.NotNow, "function-busy"},
		"function crashed":  {ofError(live, fault.FunctionCrashed.New("")), queue.Again, "function-crashed"},
		"no endpoint":       {ofError(live, fault.NoEndpoint.New("")), queue.NotNow, "no-endpoint"},
		"forbidden":         {ofFault(fault.Forbidden.New("")), queue.Refused, "forbidden"},
		"broken off":        {ofError(live, errCut), queue.Again, "the backend's answer broke off"},
		"the gateway ended": {ofError(cut, errCut), queue.Again, "the gateway is ending"},
		"too slow":          {ofError(late, errCut), queue.Again, "it took longer than async.timeout"},
	} {
		if c.got.Verdict != c.want || c.got.Reason != c.says {
			t.Errorf("%s: %v %q", name, c.got.Verdict, c.got.Reason)
		}
	}
	if o := ofStatus(429, time.Minute); o.After != time.Minute {
		t.Errorf("what the backend asks for is heard: %v", o.After)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "99999999": time.Hour,
		"Sat, 28 Nov 2026 10:00:30 GMT": 30 * time.Second, "Sat, 28 Nov 2026 09:00:00 GMT": 0, "Sun, 29 Nov 2026 10:00:00 GMT": time.Hour,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestOrigins(t *testing.T) {
	for text, want := range map[string]string{
		"https://Hooks.example.com":            "https://hooks.example.com",
		"https://hooks.example.com:443/a?b#c":  "https://hooks.example.com",
		"http://hooks.example.com:8080/":       "http://hooks.example.com:8080",
		"http://[::1]:80/":                     "http://[::1]",
		"ftp://hooks.example.com":              "",
		"https://user@hooks.example.com":       "",
		"https://hooks.example.com@evil.com/x": "",
		"//hooks.example.com":                  "",
		"https:hooks.example.com":              "",
		"hooks.example.com":                    "",
		"https://":                             "",
	} {
		got, err := originOf(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for text, good := range map[string]bool{
		"https://hooks.example.com": true, "https://hooks.example.com/": true, "https://hooks.example.com/path": false, "https://hooks.example.com:443": false, "*": false,
	} {
		var ps doc.Problems
		var o Origin
		o.DecodeDoc(&doc.Node{Kind: doc.Scalar, Value: text}, &ps)
		if ps.Failed() == good || good && o != "https://hooks.example.com" {
			t.Errorf("%q is allowed as %q, %v", text, o, ps.Sorted())
		}
	}
}

func TestWhereCallbacksMayLead(t *testing.T) {
	c := &Callback{Allow: []Origin{"https://hooks.example.com", "http://127.0.0.1:9000", "http://localhost", "http://[fe80::1]"}}
	bounds, err := c.bounds(nil)
	if err != nil {
		t.Fatal(err)
	}
	for address, may := range map[string]bool{"8.8.8.8": true, "10.0.0.1": true, "127.0.0.1": true, "127.0.0.2": false, "::1": true, "fe80::1": true, "fe80::2": false, "169.254.169.254": false} {
		if err := bounds.Address(netip.MustParseAddr(address)); (err == nil) != may {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := c.bounds(&egress.Bounds{}); err == nil {
		t.Error("a group may have this machine called back")
	}
	h := &hooks{allow: c.Allow}
	for to, may := range map[string]bool{
		"https://hooks.example.com/x": true, "https://HOOKS.example.com:443/x": true, "http://hooks.example.com/x": false,
		"https://hooks.example.com.evil.com/": false, "https://evil.com/https://hooks.example.com": false, "http://127.0.0.1:9000/": true, "http://127.0.0.1:9001/": false,
	} {
		if err := h.mayCall(to); (err == nil) != may {
			t.Errorf("%s: %v", to, err)
		}
	}
}

// TestSignature is the example of Standard Webhooks.
func TestSignature(t *testing.T) {
	key, err := signingKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	r := exchange.NewRequest(t.Context(), nil)
	head := exchange.RequestHead(r)
	(&hooks{secret: key}).sign(head, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if got := head.Get("Webhook-Signature"); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("the signature is %s", got)
	}
	for _, bad := range []string{"", "whsec_", "whsec_!"} {
		if _, err := signingKey(bad); err == nil {
			t.Errorf("%q is a secret", bad)
		}
	}
}

func TestConfig(t *testing.T) {
	read := func(text string) (*Config, []doc.Problem) {
		var ps doc.Problems
		c := usual()
		doc.Decode(doc.Parse("weir.yaml", []byte("async: "+text), &ps).Get("async"), &c, &ps)
		return &c, ps.Sorted()
	}
	if c, ps := read("asked"); !c.Asked || len(ps) > 0 {
		t.Errorf("asked: %+v, %v", c, ps)
	}
	if c, ps := read("{ retry: 5, age: 1h }"); c.Retry.Times != 5 || c.Retry.First != 30*time.Second || c.Age != time.Hour || len(ps) > 0 {
		t.Errorf("a map: %+v, %v", c, ps)
	}
	if c, ps := read("{ retry: none }"); c.Retry.Times != 0 || len(ps) > 0 {
		t.Errorf("no tries: %+v, %v", c, ps)
	}
	for text, want := range map[string]string{
		"false": "async is", "{ concurrency: 0 }": "async.concurrency is out of bounds", "{ body: 17MiB }": "async.body is out of bounds", "{ age: 0s }": "async.age is no time at all",
		"{ callback: {} }": "allow", "{ callback: { allow: hooks } }": "is no origin", "{ retry: -1 }": "async.retry.times",
	} {
		if _, ps := read(text); !slices.ContainsFunc(ps, func(p doc.Problem) bool { return strings.Contains(p.What, want) }) {
			t.Errorf("%s: %v", text, ps)
		}
	}
}

// example is a request with all that is kept of one.
func example() (*http.Request, *exchange.Exchange) {
	x := &exchange.Exchange{
		ID: "id", Path: "/a/7", Query: "x=1", Host: "shop.dev",
		Client:   exchange.Client{Peer: netip.MustParseAddrPort("192.0.2.1:1"), IP: netip.MustParseAddr("192.0.2.1"), Scheme: "https", Host: "shop.dev"},
		Identity: &exchange.Identity{Method: "m", Issuer: "i", Subject: "s", Scopes: []string{"a"}, Claims: exchange.ClaimsOf(map[string]any{"n": int64(9007199254740993), "exp": int64(1)})},
	}
	x.Params.Add("id", "7")
	r := exchange.NewRequest(context.Background(), nil)
	r.Method, r.URL, r.Host = http.MethodPost, &url.URL{Path: "/a/7", RawQuery: "x=1"}, "shop.dev"
	exchange.RequestHead(r).Add("X-A", "1")
	exchange.RequestHead(r).Add("X-A", "2")
	return r, x
}

func TestWhatIsKeptOfARequest(t *testing.T) {
	r, x := example()
	packed, err := pack(storedOf(r, x, exchange.RequestHead(r), ""), []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	s, body, err := unpackRequest(packed)
	if err != nil || string(body) != "body" {
		t.Fatalf("%q, %v", body, err)
	}
	again, y, err := s.request(t.Context(), body)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := y.Params.Get("id")
	if again.Method != r.Method || again.URL.RequestURI() != "/a/7?x=1" || again.Host != r.Host || again.ContentLength != 4 || id != "7" || y.Client != x.Client || y.ID != x.ID {
		t.Errorf("the request is %+v with %+v", again, y)
	}
	if got := exchange.RequestHead(again).Values("X-A"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("its field is %q", got)
	}
	if who := y.Identity; who.ID() != x.Identity.ID() || who.Claims.All()["n"] != int64(9007199254740993) || who.Claims.All()["exp"] != nil {
		t.Errorf("the caller is %+v", who)
	}
}

// FuzzStored holds that nothing that lies in the queue's file breaks who reads it.
func FuzzStored(f *testing.F) {
	r, x := example()
	packed, err := pack(storedOf(r, x, exchange.RequestHead(r), "https://hooks.example.com/"), []byte("body"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	kept, err := pack(answer{Status: 200, Head: lines{"A", "b"}}, []byte{0xff})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(kept)
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s, body, err := unpackRequest(raw); err == nil {
			again, err := pack(s, body)
			if err != nil {
				t.Fatal(err)
			}
			if _, second, err := unpackRequest(again); err != nil || !bytes.Equal(second, body) {
				t.Errorf("what was read is not read again: %v", err)
			}
			_, _, _ = s.request(t.Context(), body) // what cannot be sent is an error
			s.mourned(body)
		}
		_, _ = resultOf(raw)
	})
}
