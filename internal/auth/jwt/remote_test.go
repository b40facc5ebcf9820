package jwt

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/exchange"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// provider is an issuer on loopback with OIDC discovery.
func provider(t *testing.T, tls bool, change func(mux *http.ServeMux, url func() string)) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	s := httptest.NewUnstartedServer(mux)
	change(mux, func() string { return s.URL })
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	if tls {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func answers(mux *http.ServeMux, path string, text func() string) *atomic.Int64 {
	var n atomic.Int64
	mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		_, _ = w.Write([]byte(text()))
	})
	return &n
}

// first tells what became of the first fetch of a config, and what was logged.
func first(t *testing.T, text string) (logged string, failure error) {
	t.Helper()
	var log bytes.Buffer
	k := newKeeper(t)
	e := env(t, k)
	e.Log = slog.New(slog.NewTextHandler(&log, nil))
	if _, err := Definition().Build(e, configOf(t, text)); err != nil {
		t.Fatal(err)
	}
	for _, part := range k.parts {
		if l, ok := part.(*living); ok {
			l.close(t.Context()) // so that nothing more is logged
			return log.String(), l.now.Load().err
		}
	}
	t.Fatal("nothing was fetched")
	return "", nil
}

func TestKeysAreFoundByDiscovery(t *testing.T) {
	for name, slash := range map[string]string{"an issuer": "", "with a slash": "/", "with a path": "/realms/shop"} {
		var discoveries, keys *atomic.Int64
		s := provider(t, false, func(mux *http.ServeMux, url func() string) {
			discoveries = answers(mux, strings.TrimSuffix(slash, "/")+"/.well-known/openid-configuration", func() string {
				return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q,"more":[]}`, url()+slash, url()+"/keys?tenant=a")
			})
			keys = answers(mux, "/keys", func() string { return string(allIssued()) })
		})
		w := way(t, "jwt: "+s.URL+slash+"\naudience: shop")
		id, err := w.Recognise(request(good("p256", "ES256", "iss", s.URL+slash)))
		if err != nil || id.Issuer != s.URL+slash || discoveries.Load() != 1 || keys.Load() != 1 {
			t.Errorf("%s: %+v, %v, after %d discoveries and %d fetches", name, id, err, discoveries.Load(), keys.Load())
		}
	}
}

func TestWhatAnIssuerMayNotSay(t *testing.T) {
	address, connections := trap(t)
	for name, c := range map[string]struct {
		discovery, keys func(url string) string
		status          int
		want            string
	}{
		"another issuer":            {discovery: func(u string) string { return `{"issuer":"` + u + `/x","jwks_uri":"` + u + `/keys"}` }, want: "it is of the issuer"},
		"no issuer":                 {discovery: func(u string) string { return `{"jwks_uri":"` + u + `/keys"}` }, want: "it is of the issuer"},
		"two issuers":               {discovery: func(u string) string { return `{"issuer":"x","issuer":"` + u + `","jwks_uri":"` + u + `/keys"}` }, want: "twice"},
		"no keys":                   {discovery: func(u string) string { return `{"issuer":"` + u + `"}` }, want: "not a URL that can be called"},
		"a file":                    {discovery: func(u string) string { return `{"issuer":"` + u + `","jwks_uri":"file:///etc/passwd"}` }, want: "not a URL that can be called"},
		"a user in the URL":         {discovery: func(u string) string { return `{"issuer":"` + u + `","jwks_uri":"http://a:b@` + u[7:] + `/keys"}` }, want: "not a URL that can be called"},
		"another address, in clear": {discovery: func(u string) string { return `{"issuer":"` + u + `","jwks_uri":"http://` + address + `/keys"}` }, want: "not encrypted"},
		"an address inside": {discovery: func(u string) string {
			return `{"issuer":"` + u + `","jwks_uri":"https://localhost:` + address[strings.LastIndexByte(address, ':')+1:] + `/keys"}`
		}, want: "and the config does not name it"},
		"the metadata of a cloud": {discovery: func(u string) string { return `{"issuer":"` + u + `","jwks_uri":"https://169.254.169.254/latest"}` }, want: "is where a cloud tells"},
		"HTML":                    {discovery: func(string) string { return "<html>" }, want: "json"},
		"a discovery without end": {discovery: func(string) string { return strings.Repeat(" ", largestDiscovery+1) }, want: "has more than 65536 bytes"},
		"keys without end":        {keys: func(string) string { return strings.Repeat(" ", largestSet+1) }, want: "has more than 262144 bytes"},
		"keys that are HTML":      {keys: func(string) string { return "<html>" }, want: "json"},
		"not found":               {status: http.StatusNotFound, want: "the answer is 404"},
		"keys and a 500":          {status: http.StatusInternalServerError, want: "the answer is 500"},
		"keys and a 203":          {status: http.StatusNonAuthoritativeInfo, want: "the answer is 203"},
		"elsewhere":               {status: http.StatusFound, want: "which is not followed"},
	} {
		s := provider(t, false, func(mux *http.ServeMux, url func() string) {
			discovery, keys := c.discovery, c.keys
			if discovery == nil {
				discovery = func(u string) string { return `{"issuer":"` + u + `","jwks_uri":"` + u + `/keys"}` }
			}
			if keys == nil {
				keys = func(string) string { return string(allIssued()) }
			}
			answers(mux, "/.well-known/openid-configuration", func() string { return discovery(url()) })
			mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
				if c.status != 0 {
					w.Header().Set("Location", "http://"+address+"/keys")
					w.WriteHeader(c.status)
				}
				_, _ = w.Write([]byte(keys(url())))
			})
		})
		log, err := first(t, "jwt: "+s.URL+"\naudience: shop")
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(log, "could not be fetched") {
			t.Errorf("%s: want %q, got %v\n%s", name, c.want, err, log)
		}
	}
	if n := connections.Load(); n > 0 {
		t.Errorf("%d connections were made to where an issuer said", n)
	}
}

func TestTheServerOfTheKeysIsChecked(t *testing.T) {
	s := provider(t, true, func(mux *http.ServeMux, _ func() string) {
		answers(mux, "/keys", func() string { return string(allIssued()) })
	})
	text := "jwt: " + issuer + "\naudience: shop\njwks: " + s.URL + "/keys\n"
	if _, err := first(t, text); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
	ca := filepath.Join(t.TempDir(), "ca.crt")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	w := way(t, text+"ca: "+ca)
	if _, err := w.Recognise(request(good("rsa", "RS256"))); err != nil {
		t.Errorf("the config's own authority: %v", err)
	}
	if _, err := Definition().Build(env(t, newKeeper(t)), configOf(t, text+"ca: '${env:NOT_SET_ANYWHERE}'")); err == nil {
		t.Error("a missing authority is the system's")
	}
}

// TestWaysOfOneIssuerShareItsKeys holds that ten ways of an issuer ask it once, and that a
// reload asks not at all.
func TestWaysOfOneIssuerShareItsKeys(t *testing.T) {
	var keys *atomic.Int64
	s := provider(t, false, func(mux *http.ServeMux, _ func() string) {
		keys = answers(mux, "/keys", func() string { return string(allIssued()) })
	})
	k := newKeeper(t)
	for i := range 10 {
		c := configOf(t, fmt.Sprintf("jwt: %s\naudience: shop%d\njwks: %s/keys", issuer, i%5, s.URL))
		if _, err := Definition().Build(env(t, k), c); err != nil {
			t.Fatal(err)
		}
	}
	if keys.Load() != 1 || len(k.parts) != 6 {
		t.Errorf("%d fetches, %d parts are kept", keys.Load(), len(k.parts))
	}
}

// TestTokensAreRememberedWithTheirKeys holds that a reload which fetches the keys anew, as here
// for what a group may reach, forgets what was checked by those of before: nobody hears of
// their withdrawal any more.
func TestTokensAreRememberedWithTheirKeys(t *testing.T) {
	var withdrawn atomic.Bool
	s := provider(t, false, func(mux *http.ServeMux, _ func() string) {
		answers(mux, "/keys", func() string {
			if withdrawn.Load() {
				return string(set(issued()["ed"]))
			}
			return string(allIssued())
		})
	})
	k, token := newKeeper(t), good("rsa", "RS256")
	for _, reach := range []string{"127.0.0.0/8", "127.0.0.1/32"} {
		e := env(t, k)
		e.Bounds = &egress.Bounds{Reach: []netip.Prefix{netip.MustParsePrefix(reach)}}
		w, err := Definition().Build(e, configOf(t, fmt.Sprintf("jwt: %s\naudience: shop\njwks: %s/keys", issuer, s.URL)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Recognise(request(token)); (err == nil) == withdrawn.Load() {
			t.Errorf("withdrawn: %v; %v", withdrawn.Load(), err)
		}
		withdrawn.Store(true)
	}
}

func TestWhomAGatewayCalls(t *testing.T) {
	for address, c := range map[string]struct{ named, other bool }{
		"192.0.2.1": {true, true}, "2001:db8::1": {true, true}, "8.8.8.8": {true, true},
		"127.0.0.1": {true, false}, "::1": {true, false}, "10.0.0.1": {true, false}, "172.31.0.1": {true, false}, "192.168.1.1": {true, false},
		"fd00::1": {true, false}, "100.64.0.1": {true, false}, "::ffff:10.0.0.1": {true, false}, "64:ff9b::10.0.0.1": {true, false}, "2002:a00:1::": {true, false},
		"169.254.169.254": {}, "169.254.1.1": {}, "fe80::1": {}, "fe80::1%eth0": {}, "::ffff:169.254.169.254": {}, "64:ff9b::169.254.169.254": {},
		"fd00:ec2::254": {}, "100.100.100.200": {}, "168.63.129.16": {}, "0.0.0.0": {}, "0.1.2.3": {}, "::": {}, "224.0.0.1": {}, "ff02::1": {},
	} {
		ip := netip.MustParseAddr(address)
		if named, other := callable(ip, true) == nil, callable(ip, false) == nil; named != c.named || other != c.other {
			t.Errorf("%s: named %v, other %v", address, named, other)
		}
	}
}

func TestOnlyTheHostOfTheConfigMayBeInside(t *testing.T) {
	address, connections := trap(t)
	u, err := url.Parse("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	for named, allowed := range map[string]bool{"127.0.0.1": true, "id.example.com": false} {
		c, err := newClient(named, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := c.dial(t.Context(), "tcp", address)
		if (err == nil) != allowed {
			t.Errorf("%s: %v", named, err)
		}
		if conn != nil {
			_ = conn.Close()
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.String(), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := c.trip(req); err == nil {
			_ = res.Body.Close()
			t.Error("a trap answers")
		}
		c.close()
	}
	deadline := time.Now().Add(10 * time.Second)
	for connections.Load() < 2 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond) //nolint:forbidigo // a poll with a deadline
	}
	if n := connections.Load(); n < 1 || n > 3 {
		t.Errorf("%d connections", n)
	}
}

func TestHowLongKeysMayBeKept(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		want  time.Duration
	}{
		"nothing":            {nil, 0},
		"max-age":            {[]string{"Cache-Control: public, max-age=600"}, 10 * time.Minute},
		"and age":            {[]string{"Cache-Control: max-age=600", "Age: 100"}, 500 * time.Second},
		"an age beyond":      {[]string{"Cache-Control: max-age=600", "Age: 700"}, 1},
		"quotes":             {[]string{`Cache-Control: MAX-AGE="60"`}, time.Minute},
		"two lines":          {[]string{"Cache-Control: public", "Cache-Control: max-age=60"}, time.Minute},
		"no-store":           {[]string{"Cache-Control: no-store"}, 1},
		"no number":          {[]string{"Cache-Control: max-age=soon"}, 0},
		"a negative one":     {[]string{"Cache-Control: max-age=-1"}, 0},
		"a huge one":         {[]string{"Cache-Control: max-age=99999999999999999999"}, 0},
		"expired":            {[]string{"Expires: Thu, 01 Jan 1970 00:00:00 GMT"}, 1},
		"expired long since": {[]string{"Expires: 0"}, 0},
	} {
		h := http.Header{}
		for _, line := range c.lines {
			n, v, _ := strings.Cut(line, ": ")
			h.Add(n, v)
		}
		if got := maxAgeOf(exchange.MapHead(h)); got != c.want {
			t.Errorf("%s: %s, not %s", name, got, c.want)
		}
	}
	h := http.Header{"Expires": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}}
	if got := maxAgeOf(exchange.MapHead(h)); got < 59*time.Minute || got > time.Hour {
		t.Errorf("Expires in an hour is %s", got)
	}
}

// TestACheckedConfigFetchesNothing holds what `weir check` promises.
func TestACheckedConfigFetchesNothing(t *testing.T) {
	address, connections := trap(t)
	e := env(t, newKeeper(t))
	e.Checked = true
	e.Keep = func(string, func() (any, func(context.Context), error)) (any, error) { return nil, nil }
	for _, text := range []string{"jwt: http://" + address, "jwt: x\njwks: http://" + address + "/keys", "jwt: x\njwks: ./nowhere.json", "jwt: x\nsecret: ${env:NOT_SET_ANYWHERE}"} {
		w, err := Definition().Build(e, configOf(t, text+"\naudience: shop"))
		if err != nil || w.Note == "" {
			t.Errorf("%s: %q, %v", text, w.Note, err)
		}
	}
	if connections.Load() > 0 {
		t.Error("a check calls the issuer")
	}
}
