package transform_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

func TestCookiesOfRequests(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, config, came, want string }{
		{"one is taken away", `remove: b`, `a=1; b=2; c="3"`, `a=1; c="3"`},
		{"the last one", `remove: [a, b]`, `a=1; b=2`, ``},
		{"one of several fields", `remove: b`, "a=1\nb=2; c=3", `a=1; c=3`},
		{"one has another name", `rename: { sid: session }`, `sid=x=y; a=1`, `session=x=y; a=1`},
		{"a name that is taken", `rename: { sid: session }`, `session=old; sid=new`, `session=new`},
		{"a name that stays, for there is nothing to rename", `rename: { sid: session }`, `session=old`, `session=old`},
		{"two change their names", `rename: { a: b, b: a }`, `a=1; b=2`, `b=1; a=2`},
		{"one is set", `set: { user: =auth.sub, kind: fixed }`, `user=me; a=1`, `a=1; user=ann; kind=fixed`},
		{"one is set by another", `set: { session: =request.cookies.sid }, remove: sid`, `sid=7`, `session=7`},
		{"nothing to set", `set: { session: =request.cookies.sid }`, `session=old; a=1`, `a=1`},
		{"set counts before rename", `set: { b: x }, rename: { a: b }`, `a=1`, `b=1; b=x`},
		{"names have cases", `remove: A`, `a=1; A=2`, `a=1`},
		{"what is no pair stays", `remove: b`, `odd; ; b=1`, `odd`},
		{"a blank behind a name", `remove: b`, `a=1; b =2`, `a=1`},
		{"nothing came", `remove: b`, ``, ``},
	} {
		b := &backend{answer: jsonReply(`{}`)}
		r := request(http.MethodGet, "/o", "", "")
		for field := range strings.SplitSeq(c.came, "\n") {
			if field != "" {
				r.Header.Add("Cookie", field)
			}
		}
		res, err := policy(t, "request: { cookies: { "+c.config+" } }").Adapt(b).RoundTrip(r)
		if got := answered(t, res, err); got != "200 application/json {}" || strings.Join(b.head.Values("Cookie"), "\n") != c.want {
			t.Errorf("%s: %s, the backend got %q, want %q", c.name, got, b.head.Values("Cookie"), c.want)
		}
	}
}

func TestCookiesOfResponses(t *testing.T) {
	t.Parallel()
	const came = "a=1; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT\nsess=x=y; Domain=inner.dev; path=/app; httponly\nb=2"
	for _, c := range []struct{ name, config, want string }{
		{"one is taken away", `remove: sess`, "a=1; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT\nb=2"},
		{"one has another name", `rename: { sess: sid }, remove: [a, b]`, "sid=x=y; Domain=inner.dev; path=/app; httponly"},
		{"one has another value", `set: { sess: =auth.sub }, remove: [a, b]`, "sess=ann; Domain=inner.dev; path=/app; httponly"},
		{"one that nobody gave", `set: { seen: =string(response.status) }, remove: [a, sess]`, "b=2\nseen=200; Path=/; HttpOnly; SameSite=Lax"},
		{"no value", `set: { sess: =request.cookies.none }, remove: [a, b]`, ""},
		{"the domain of the backend", `attributes: { sess: { domain: shop.dev, path: / } }, remove: [a, b]`, "sess=x=y; httponly; Path=/; Domain=shop.dev"},
		{"no domain, and more", `attributes: { "*": { domain: none, ttl: 1h, same_site: strict, secure: true, http_only: false } }`,
			"a=1; Path=/; Max-Age=3600; SameSite=Strict; Secure\nsess=x=y; path=/app; Max-Age=3600; SameSite=Strict; Secure\nb=2; Max-Age=3600; SameSite=Strict; Secure"},
		{"the name before the star", `attributes: { "*": { secure: true }, b: { http_only: true } }, remove: a`, "sess=x=y; Domain=inner.dev; path=/app; httponly; Secure\nb=2; HttpOnly"},
		{"attributes by the name that came", `rename: { b: c }, attributes: { b: { path: / } }, remove: [a, sess]`, "c=2; Path=/"},
		{"attributes of a new one", `set: { seen: yes }, attributes: { seen: { same_site: none, secure: true } }, remove: [a, b, sess]`, "seen=yes; Path=/; HttpOnly; SameSite=None; Secure"},
	} {
		head := http.Header{"Content-Type": {jsonType}, "Set-Cookie": strings.Split(came, "\n")}
		for side, more := range map[string]string{"": "", "with a body": ", body: {}"} {
			res, err := policy(t, "response: { cookies: { "+c.config+" }"+more+" }").Adapt(&backend{answer: reply{head: head.Clone(), body: `{}`}}).RoundTrip(request(http.MethodGet, "/o", "", ""))
			if got := answered(t, res, err); got != "200 application/json {}" || strings.Join(res.Header.Values("Set-Cookie"), "\n") != c.want {
				t.Errorf("%s %s: %s, the client got\n%s\nwant\n%s", c.name, side, got, strings.Join(res.Header.Values("Set-Cookie"), "\n"), c.want)
			}
		}
	}
}

func TestANewCookieIsForHTTPSWhereThatIsSpoken(t *testing.T) {
	t.Parallel()
	r := request(http.MethodGet, "/o", "", "")
	r.TLS = &tls.ConnectionState{}
	exchange.Of(r).Client.Scheme = "https"
	res, err := policy(t, "response: { cookies: { set: { seen: yes } } }").Adapt(&backend{answer: jsonReply(`{}`)}).RoundTrip(r)
	if got := answered(t, res, err); res.Header.Get("Set-Cookie") != "seen=yes; Path=/; HttpOnly; SameSite=Lax; Secure" {
		t.Errorf("%s %q", got, res.Header)
	}
}

func TestNoValueOfACookieBecomesAnother(t *testing.T) {
	t.Parallel()
	b := &backend{answer: jsonReply(`{}`)}
	res, err := policy(t, "request: { cookies: { set: { a: =request.body.a } } }").Adapt(b).RoundTrip(request(http.MethodPost, "/o", jsonType, `{"a":"x; admin=1"}`))
	if got := answered(t, res, err); got != "400 malformed-body The body does not hold what this route needs of it." || b.method != "" {
		t.Errorf("%s, the backend got %q", got, b.head)
	}
	res, err = policy(t, "response: { cookies: { set: { a: =response.body.a } } }").Adapt(&backend{answer: jsonReply(`{"a":"x; Domain=evil.dev"}`)}).RoundTrip(request(http.MethodGet, "/o", "", ""))
	if got := answered(t, res, err); got != "502 backend-invalid-response " {
		t.Errorf("got %s", got)
	}
}

func TestMistakesInCookiesAreTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`request: { cookies: { remove: "a b" } }`:                                                        `"a b" is not the name of a cookie of the request`,
		`response: { cookies: { rename: { a: "b;" } } }`:                                                 `"b;" is not the name of a cookie of the response`,
		`request: { cookies: { set: { a: "x; y" } } }`:                                                   `no cookie can have the value "x; y"`,
		`request: { cookies: { set: { a: [x, y] } } }`:                                                   `the cookie "a" has two values`,
		`request: { cookies: { attributes: { a: { path: / } } } }`:                                       `unknown key "attributes"`,
		`response: { cookies: { attributes: { a: {} } } }`:                                               `the cookie a: nothing is said`,
		`response: { cookies: { attributes: { a: { path: app } } } }`:                                    `the cookie a: "app" is no path`,
		`response: { cookies: { attributes: { a: { domain: "a; b" } } } }`:                               `the cookie a: "a; b" is not a domain`,
		`response: { cookies: { attributes: { a: { ttl: 500ms } } } }`:                                   `the cookie a: the ttl is 500ms`,
		`response: { cookies: { attributes: { a: { same_site: no } } } }`:                                `the cookie a: same_site is "no"`,
		`response: { cookies: { attributes: { a: { same_site: none, secure: false } } } }`:               `the cookie a: same_site is none without secure`,
		`request: { cookies: {} }`:                                                                       `transform changes nothing`,
		`response: { cookies: { set: { a: =response.body.a }, attributes: { "*": { secure: true } } } }`: ``,
	} {
		_, problems := decode(t, text)
		if want == "" && len(problems) == 0 {
			continue
		}
		if len(problems) == 0 || want == "" || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

func TestMistakesInCookiesAreWhereTheyWereWritten(t *testing.T) {
	t.Parallel()
	_, problems := decode(t, `request:
  cookies:
    remove: [a, "b b"]
    rename: { "c c": d, e: "f f" }
    set: { "g g": v, h: "x;" }
response:
  cookies:
    remove: "i i"
    attributes:
      "j j": { secure: true }
      k: { secure: true, path: l,
        same_site: some, domain: "m; n", ttl: 10000h }
      o: {}
`)
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%d:%d", p.Pos.Line, p.Pos.Col))
	}
	if want := "3:17 4:15 4:28 5:12 5:25 8:13 10:7 11:32 12:20 12:34 12:47 13:7"; strings.Join(got, " ") != want {
		t.Errorf("%s\n%v", strings.Join(got, " "), problems)
	}
}

func TestFieldsOfAResponseAreComputedByItAsItCame(t *testing.T) {
	t.Parallel()
	came := http.Header{"Content-Type": {jsonType}, "Etag": {`"1"`}, "X-A": {"old"}}
	res, err := policy(t, `
response:
  write: xml
  body: { o: 1 }
  headers:
    X-A: new
    X-B: "=response.headers['x-a']"
    X-Type: "=response.headers['content-type']"
    X-Tag: =response.headers.etag
`).Adapt(&backend{answer: reply{head: came, body: `{}`}}).RoundTrip(request(http.MethodGet, "/o", "", ""))
	if got := answered(t, res, err); res == nil || res.Header.Get("X-A") != "new" || res.Header.Get("X-B") != "old" ||
		res.Header.Get("X-Type") != jsonType || res.Header.Get("X-Tag") != `"1"` {
		t.Errorf("%s %v", got, res.Header)
	}
}

// FuzzCookies holds that whatever a client sends, a cookie that is taken away does not come, and none
// comes that nobody sent.
func FuzzCookies(f *testing.F) {
	f.Add("a=1; b=2")
	f.Add(`;;b; b =1; =b`)
	f.Add("b 00")
	f.Add("c =")
	p := policy(f, "request: { cookies: { remove: b, rename: { c: d } } }")
	f.Fuzz(func(t *testing.T, field string) {
		b := &backend{answer: jsonReply(`{}`)}
		r := request(http.MethodGet, "/o", "", "")
		r.Header["Cookie"] = []string{field}
		res, err := p.Adapt(b).RoundTrip(r)
		answered(t, res, err)
		sent := map[string]bool{}
		for _, pair := range pairsOf(field) {
			sent[pair] = true
		}
		for _, pair := range pairsOf(strings.Join(b.head["Cookie"], "; ")) {
			was := pair
			if value, renamed := strings.CutPrefix(pair, "d="); renamed && !sent[pair] {
				was = "c=" + value
			}
			if name, _, _ := strings.Cut(pair, "="); !sent[was] || name == "b" {
				t.Fatalf("%q became %q", field, b.head["Cookie"])
			}
		}
	})
}

// pairsOf are the cookies of a field, without the blanks around their names.
func pairsOf(field string) []string {
	var list []string
	for pair := range strings.SplitSeq(field, ";") {
		name, value, valued := strings.Cut(strings.Trim(pair, " \t"), "=")
		if name = strings.Trim(name, " \t"); valued {
			name += "=" + value
		}
		if name != "" {
			list = append(list, name)
		}
	}
	return list
}
