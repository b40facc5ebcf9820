package apigw_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/function/form/apigw"
)

var update = flag.Bool("update", false, "write the golden files anew")

// request makes a request as it arrives at a function: with its exchange.
func request(method, target, body string, change func(*http.Request, *exchange.Exchange)) *http.Request {
	r := httptest.NewRequest(method, target, bytes.NewReader([]byte(body)))
	x := &exchange.Exchange{
		ID: "req-1", Start: time.Date(2026, 3, 12, 19, 3, 58, 390e6, time.UTC), Host: "api.shop.dev",
		Client: exchange.Client{IP: netip.MustParseAddr("192.0.2.7")}, Route: "GET /orders/{id}",
	}
	r.Host = "api.shop.dev:8443"
	change(r, x)
	return exchange.With(r, x)
}

func TestEventsAreTheGoldenOnes(t *testing.T) {
	tests := map[string]struct {
		method, target, body string
		change               func(*http.Request, *exchange.Exchange)
	}{
		"get": {
			"GET", "/orders/a%2Fb%20c?tag=x&tag=y%2Cz&empty=&flag", "",
			func(r *http.Request, x *exchange.Exchange) {
				r.Header.Set("User-Agent", "curl/8.0")
				r.Header["X-Many"] = []string{"1", "2"}
				r.Header["Cookie"] = []string{"a=1; b=2", "c=3"}
				x.Params.Add("id", "a/b c")
			},
		},
		"post_json": {
			"POST", "/orders", `{"item":"<ä>"}`,
			func(r *http.Request, x *exchange.Exchange) {
				r.Header.Set("Content-Type", "application/json; charset=utf-8")
				x.Route = "orders rule 0"
				x.Identity = &exchange.Identity{Issuer: "https://id", Subject: "u1", Scopes: []string{"orders:write"}, Claims: exchange.ClaimsOf(map[string]any{
					"sub": "u1", "groups": []any{"admin", "staff"}, "exp": json.Number("1700000000"), "admin": true,
				})}
			},
		},
		"post_binary": {
			"POST", "/upload?broken=%zz&ok=1", "\x00\xff\x01",
			func(r *http.Request, _ *exchange.Exchange) { r.Header.Set("Content-Type", "image/png") },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for format, suffix := range map[apigw.Format]string{apigw.V2: "", apigw.V1: "_v1", apigw.ALB: "_alb", apigw.ALBMulti: "_alb_multi"} {
				event, err := format.Encode(request(test.method, test.target, test.body, test.change), []byte(test.body))
				if err != nil {
					t.Fatal(err)
				}
				var got bytes.Buffer
				if err := json.Indent(&got, event, "", "  "); err != nil {
					t.Fatal(err)
				}
				got.WriteByte('\n')
				golden(t, filepath.Join("testdata", name+suffix+".json"), got.Bytes())
			}
		})
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; run the test with -update and look at the change. Got:\n%s", path, got)
	}
}

func TestBodiesAreTextOnlyWhereNothingCanBeLost(t *testing.T) {
	tests := []struct {
		contentType, encoding, body string
		encoded                     bool
	}{
		{"text/plain", "", "hello", false},
		{"TEXT/HTML; charset=utf-8", "", "hello", false},
		{"application/json", "", `{}`, false},
		{"application/xml", "", `<a/>`, false},
		{"application/x-www-form-urlencoded", "", "a=1", true},
		{"", "", "hello", true},
		{"application/json", "gzip", "hello", true},
		{"text/plain", "", "latin\xe4", true},
		{"image/png", "", "", false},
	}
	for _, test := range tests {
		r := request("POST", "/", test.body, func(r *http.Request, _ *exchange.Exchange) {
			r.Header.Set("Content-Type", test.contentType)
			if test.encoding != "" {
				r.Header.Set("Content-Encoding", test.encoding)
			}
		})
		if got, encoded := bodyOf(t, r, []byte(test.body)); got != test.body || encoded != test.encoded {
			t.Errorf("%q %q: body %q, base64 %v; want %q, %v", test.contentType, test.encoding, got, encoded, test.body, test.encoded)
		}
	}
}

// bodyOf encodes a request and decodes the event's body again.
func bodyOf(t *testing.T, r *http.Request, body []byte) (text string, encoded bool) {
	t.Helper()
	var event apigw.Event
	if err := json.Unmarshal(apigw.Encode(r, body), &event); err != nil {
		t.Fatal(err)
	}
	if !event.IsBase64Encoded {
		return event.Body, false
	}
	decoded, err := base64.StdEncoding.DecodeString(event.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(decoded), true
}

func FuzzEncodeKeepsEveryByteOfTheBody(f *testing.F) {
	f.Add("text/plain", "a=1&a=2", "x=1; y", []byte("hello"))
	f.Add("image/png", "%zz", ";;", []byte{0, 0xff})
	f.Fuzz(func(t *testing.T, contentType, query, cookie string, body []byte) {
		r := request("POST", "/", "", func(r *http.Request, _ *exchange.Exchange) {
			r.Header.Set("Content-Type", contentType)
			r.Header.Set("Cookie", cookie)
			r.URL.RawQuery = query
		})
		if got, _ := bodyOf(t, r, body); got != string(body) {
			t.Errorf("body is %q, want %q", got, body)
		}
	})
}

func TestARawPayloadIsTheBody(t *testing.T) {
	for body, want := range map[string]string{`{"a":1}`: `{"a":1}`, "": "{}", " \n": "{}", "no JSON": "no JSON"} {
		got, err := apigw.Raw.Encode(request("POST", "/", "", func(*http.Request, *exchange.Exchange) {}), []byte(body))
		if err != nil || string(got) != want {
			t.Errorf("%q became %q, %v", body, got, err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	r := request("GET", "/orders/7?a=1", "", func(r *http.Request, x *exchange.Exchange) {
		r.Header.Set("User-Agent", "curl/8.0")
		r.Header.Set("Accept", "*/*")
		x.Params.Add("id", "7")
	})
	b.ReportAllocs()
	for b.Loop() {
		apigw.Encode(r, nil)
	}
}
