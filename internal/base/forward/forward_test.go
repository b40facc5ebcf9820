package forward_test

import (
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/forward"
)

var trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}

// head reads lines `Name: value` into a head; names keep their spelling.
func head(lines ...string) (http.Header, exchange.Head) {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h[name] = append(h[name], value)
	}
	return h, exchange.MapHead(h)
}

func TestClientIsTheFirstFromTheRightThatIsNoProxy(t *testing.T) {
	for name, c := range map[string]struct {
		peer   string
		tls    bool
		lines  []string
		ip     string
		scheme string
		host   string
	}{
		"no proxy":                              {"192.0.2.1:1", false, nil, "192.0.2.1", "http", "own"},
		"tls":                                   {"192.0.2.1:1", true, nil, "192.0.2.1", "https", "own"},
		"4-in-6 peer":                           {"[::ffff:192.0.2.1]:1", false, nil, "192.0.2.1", "http", "own"},
		"nobody is believed by default":         {"192.0.2.1:1", false, []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "Forwarded: for=6.6.6.6"}, "192.0.2.1", "http", "own"},
		"one proxy":                             {"10.0.0.1:1", false, []string{"X-Forwarded-For: 192.0.2.7"}, "192.0.2.7", "http", "own"},
		"4-in-6 proxy is trusted as IPv4":       {"[::ffff:10.0.0.1]:1", false, []string{"X-Forwarded-For: ::ffff:192.0.2.7"}, "192.0.2.7", "http", "own"},
		"what the client made up is not read":   {"10.0.0.1:1", false, []string{"X-Forwarded-For: 6.6.6.6, 192.0.2.7"}, "192.0.2.7", "http", "own"},
		"two proxies":                           {"10.0.0.1:1", false, []string{"X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.0.0.2"}, "192.0.2.7", "http", "own"},
		"several lines are one list":            {"10.0.0.1:1", false, []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 10.0.0.2"}, "192.0.2.7", "http", "own"},
		"proxies all the way":                   {"10.0.0.1:1", false, []string{"X-Forwarded-For: 10.0.0.3, 10.0.0.2"}, "10.0.0.3", "http", "own"},
		"no address ends the walk":              {"10.0.0.1:1", false, []string{"X-Forwarded-For: 192.0.2.7, unknown, 10.0.0.2"}, "10.0.0.2", "http", "own"},
		"an empty member ends the walk":         {"10.0.0.1:1", false, []string{"X-Forwarded-For: 192.0.2.7,"}, "10.0.0.1", "http", "own"},
		"ports and brackets":                    {"10.0.0.1:1", false, []string{"X-Forwarded-For: [2001:db8::1]:4711, [fd00::2], 10.0.0.2:80"}, "2001:db8::1", "http", "own"},
		"a zone is no address":                  {"10.0.0.1:1", false, []string{"X-Forwarded-For: fe80::1%eth0"}, "10.0.0.1", "http", "own"},
		"bracketed IPv4 is no address":          {"10.0.0.1:1", false, []string{"X-Forwarded-For: [192.0.2.7]"}, "10.0.0.1", "http", "own"},
		"scheme and host":                       {"10.0.0.1:1", false, []string{"X-Forwarded-Proto: HTTPS", "X-Forwarded-Host: shop.dev:8443"}, "10.0.0.1", "https", "shop.dev:8443"},
		"the nearest proxy's word":              {"10.0.0.1:1", true, []string{"X-Forwarded-Proto: https, http", "X-Forwarded-Host: evil, shop.dev"}, "10.0.0.1", "http", "shop.dev"},
		"web sockets":                           {"10.0.0.1:1", false, []string{"X-Forwarded-Proto: wss"}, "10.0.0.1", "https", "own"},
		"unknown scheme":                        {"10.0.0.1:1", true, []string{"X-Forwarded-Proto: gopher"}, "10.0.0.1", "https", "own"},
		"a host that is none":                   {"10.0.0.1:1", false, []string{"X-Forwarded-Host: evil/path?x"}, "10.0.0.1", "http", "own"},
		"RFC 7239":                              {"10.0.0.1:1", false, []string{`Forwarded: for=6.6.6.6;host=evil, for="[2001:db8::7]:4711";proto=https;host="shop.dev:8443"`}, "2001:db8::7", "https", "shop.dev:8443"},
		"RFC 7239, two proxies, two lines":      {"10.0.0.1:1", false, []string{"Forwarded: for=192.0.2.7;proto=https", "Forwarded: For=10.0.0.2"}, "192.0.2.7", "https", "own"},
		"RFC 7239, obfuscated":                  {"10.0.0.1:1", false, []string{"Forwarded: for=_hidden, for=10.0.0.2"}, "10.0.0.2", "http", "own"},
		"RFC 7239, broken line":                 {"10.0.0.1:1", false, []string{`Forwarded: for="192.0.2.7`, "Forwarded: for=10.0.0.2"}, "10.0.0.2", "http", "own"},
		"X-Forwarded-For wins over RFC 7239":    {"10.0.0.1:1", false, []string{"X-Forwarded-For: 192.0.2.7", "Forwarded: for=6.6.6.6;host=evil;proto=https"}, "192.0.2.7", "http", "own"},
		"another spelling is never believed":    {"10.0.0.1:1", false, []string{"X_Forwarded_For: 6.6.6.6"}, "10.0.0.1", "http", "own"},
		"a Unix socket has no address to trust": {"", false, []string{"X-Forwarded-For: 6.6.6.6"}, "", "http", "own"},
	} {
		t.Run(name, func(t *testing.T) {
			var peer netip.AddrPort
			if c.peer != "" {
				peer = netip.MustParseAddrPort(c.peer)
			}
			_, h := head(c.lines...)
			got := forward.Client(peer, c.tls, "own", h, trusted)
			var want netip.Addr
			if c.ip != "" {
				want = netip.MustParseAddr(c.ip)
			}
			if got.IP != want || got.Scheme != c.scheme || got.Host != c.host {
				t.Errorf("%v %s %s, not %v %s %s", got.IP, got.Scheme, got.Host, want, c.scheme, c.host)
			}
		})
	}
}

func TestReceiveStripsOnceAndForAll(t *testing.T) {
	h, view := head(
		"Connection: keep-alive, X-Mine, Upgrade, X-Forwarded-For, Content-Length, Host",
		"Upgrade: websocket", "Http2-Settings: AA", "Keep-Alive: 5", "Proxy-Connection: x", "Te: trailers;q=1, trailers",
		"X-Mine: 1", "x-yours: 2", "Content-Length: 3", "Content_Length: 4", "Expect: 100-continue",
		"X-Forwarded-For: 6.6.6.6", "x.forwarded.for: 6.6.6.6", "X-Forwarded-Whatever: 1", "X-Envoy-Internal: true", "Proxy: x",
	)
	peer := netip.MustParseAddrPort("192.0.2.1:1")
	forward.Receive(peer, false, "own", view, trusted)
	want := http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Te": {"trailers"},
		"x-yours": {"2"}, "Content-Length": {"3"}, "Expect": {"100-continue"},
	}
	if !maps.EqualFunc(h, want, slices.Equal) {
		t.Errorf("%v, not %v", h, want)
	}
	again := h.Clone()
	forward.Receive(peer, false, "own", view, trusted)
	if !maps.EqualFunc(h, again, slices.Equal) {
		t.Errorf("a second call made %v of %v", h, again)
	}
}

func TestFieldsThatAGuardSetsSurviveTheWayOut(t *testing.T) {
	_, in := head("Connection: X-User", "X-User: spoofed")
	x := &exchange.Exchange{ID: "id", Client: forward.Receive(netip.MustParseAddrPort("192.0.2.1:1"), false, "own", in, nil)}
	in.Set("X-User", "alice") // a guard
	in.Set("X-Forwarded-User", "alice")
	h, out := head()
	forward.Request(out, in, x, "1.1", forward.Withheld{})
	if h.Get("X-User") != "alice" || h.Get("X-Forwarded-User") != "alice" {
		t.Errorf("%v", h)
	}
}

func TestResponseLosesWhatBelongsToTheConnection(t *testing.T) {
	_, in := head("Connection: X-Mine, close", "X-Mine: 1", "Keep-Alive: 5", "Transfer-Encoding: chunked", "Upgrade: foo",
		"Trailer: X-Sum", "Content-Length: 3", "Set-Cookie: a", "Set-Cookie: b", "Via: 1.1 x", "X-Forwarded-Foo: kept")
	h, out := head()
	forward.Response(out, in)
	want := http.Header{"Content-Length": {"3"}, "Set-Cookie": {"a", "b"}, "Via": {"1.1 x"}, "X-Forwarded-Foo": {"kept"}}
	if !maps.EqualFunc(h, want, slices.Equal) {
		t.Errorf("%v, not %v", h, want)
	}
}

func TestUpgradeOf(t *testing.T) {
	for want, cases := range map[string][][]string{
		"websocket": {{"Connection: Upgrade", "Upgrade: websocket"}, {"Connection: keep-alive, upgrade", "Upgrade: websocket"}},
		"foo/2":     {{"Connection: Upgrade", "Upgrade: foo/2"}},
		"": {
			{"Upgrade: websocket"}, {"Connection: Upgrade"}, {"Connection: close", "Upgrade: websocket"},
			{"Connection: Upgrade", "Upgrade: websocket", "Upgrade: foo"}, {"Connection: Upgrade", "Upgrade: websocket, foo"},
			{"Connection: Upgrade", "Upgrade: h2c"}, {"Connection: Upgrade", "Upgrade: H2C"}, {"Connection: Upgrade", "Upgrade: HTTP/2.0"},
			{"Connection: Upgrade", "Upgrade: TLS/1.0"}, {"Connection: Upgrade", "Upgrade: a b"}, {"Connection: Upgrade", "Upgrade: /1"},
			{"Connection: Upgrade", "Upgrade: foo/"}, {"Connection: xUpgrade", "Upgrade: foo"},
		},
	} {
		for _, lines := range cases {
			_, h := head(lines...)
			if got := forward.UpgradeOf(h); got != want {
				t.Errorf("%q: %q, not %q", lines, got, want)
			}
		}
	}
}

func TestFolds(t *testing.T) {
	for name, want := range map[string]bool{
		"X-User": true, "x_user": true, "X.USER": true, "X-Users": false, "XUser": false, "X User": false,
	} {
		if got := forward.Folds(name, "x-user"); got != want {
			t.Errorf("Folds(%q) = %v", name, got)
		}
	}
}

func TestPasses(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  int
	}{
		{nil, 0},
		{[]string{"Accept: weir"}, 0},
		{[]string{"Via: 1.1 weir"}, 1},
		{[]string{"Via: 1.1 weir, 2 weir", "Via: 1.0 varnish, 1.1\tWEIR (a comment)"}, 3},
		{[]string{"Via: HTTP/1.1  weir(c), weir, 1.1 weird, 1.1 a weir, 1.1 weir.example, 1.1 weir:80, ,"}, 1},
	} {
		_, h := head(c.lines...)
		if got := forward.Passes(h); got != c.want {
			t.Errorf("%q: %d, not %d", c.lines, got, c.want)
		}
		if n := testing.AllocsPerRun(100, func() { forward.Passes(h) }); n != 0 {
			t.Errorf("%q: %v allocations", c.lines, n)
		}
	}
}

func TestTrailerAllowed(t *testing.T) {
	for name, want := range map[string]bool{
		"Grpc-Status": true, "X-Sum": true, "Server-Timing": true,
		"Content-Length": false, "Transfer-Encoding": false, "Host": false, "authorization": false,
		"Set-Cookie": false, "X-Forwarded-For": false, "x_forwarded_for": false, "Trailer": false, "Content-Type": false,
	} {
		if got := forward.TrailerAllowed(name); got != want {
			t.Errorf("TrailerAllowed(%q) = %v", name, got)
		}
	}
}

// browserHead is what a browser sends, and a bit more.
func browserHead() exchange.Head {
	_, h := head("Accept: text/html", "Accept-Encoding: gzip, br", "Accept-Language: de", "Connection: keep-alive",
		"Cookie: session=1", "Referer: https://shop.dev/", "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate",
		"User-Agent: Mozilla/5.0", "Upgrade-Insecure-Requests: 1")
	return h
}

func BenchmarkReceive(b *testing.B) {
	b.ReportAllocs()
	peer := netip.MustParseAddrPort("192.0.2.1:1")
	h := browserHead()
	for b.Loop() {
		forward.Receive(peer, true, "shop.dev", h, trusted)
	}
}

// kinds are a head of these fields as either engine has it.
func kinds(lines ...string) map[string]exchange.Head {
	var fields []string
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		fields = append(fields, name, value)
	}
	_, m := head(lines...)
	return map[string]exchange.Head{"lines": exchange.MapHead(exchange.Ordered(fields...)), "a map": m}
}

// said are the fields of a head, in the order of their names.
func said(h exchange.Head) (all []string) {
	for name, value := range h.All() {
		all = append(all, name+": "+value)
	}
	slices.Sort(all)
	return all
}

// What Connection names goes no further, in either direction, and neither does Connection itself.
func TestWhatConnectionNamesEndsHere(t *testing.T) {
	for _, c := range []struct {
		connection []string
		stay       string
	}{
		{[]string{"keep-alive"}, "X-A X-B"},
		{[]string{"close"}, "X-A X-B"},
		{[]string{"CLOSE"}, "X-A X-B"},
		{[]string{"X-A"}, "X-B"},
		{[]string{"close, x-a"}, "X-B"},
		{[]string{"keep-alive", "X-B"}, "X-A"},
		{[]string{"X-B,X-A", "close"}, ""},
	} {
		var lines, want []string
		for _, value := range c.connection {
			lines = append(lines, "Connection: "+value)
		}
		lines = append(lines, "X-A: 1", "X-B: 2", "Connection_: X-B", "Keep_Alive: 3")
		for name := range strings.FieldsSeq(c.stay) {
			want = append(want, name+": "+map[string]string{"X-A": "1", "X-B": "2"}[name])
		}
		for _, trusted := range [][]netip.Prefix{nil, {netip.MustParsePrefix("192.0.2.0/24")}} {
			for kind, received := range kinds(lines...) {
				forward.Receive(netip.MustParseAddrPort("192.0.2.1:1"), false, "own", received, trusted)
				if got := without(said(received), "Connection_"); !slices.Equal(got, want) {
					t.Errorf("of a request with %q, as %s: %q is left, want %q", c.connection, kind, got, want)
				}
			}
		}
		for kind, returned := range kinds(lines...) {
			_, out := head()
			forward.Response(out, returned)
			if got := without(said(out), "Connection_", "Keep_Alive"); !slices.Equal(got, want) {
				t.Errorf("of a response with %q, as %s: %q is left, want %q", c.connection, kind, got, want)
			}
		}
	}
}

// without are fields but for those of these names.
func without(fields []string, names ...string) []string {
	return slices.DeleteFunc(fields, func(f string) bool {
		name, _, _ := strings.Cut(f, ": ")
		return slices.Contains(names, name)
	})
}

// What a backend is told of a client is what that request says, whatever the ones before on its connection have said.
func TestEachRequestIsToldOfItsOwnClient(t *testing.T) {
	peer, ip := netip.MustParseAddrPort("192.0.2.1:4000"), netip.MustParseAddr("198.51.100.7")
	on := new(exchange.Connection)
	for _, c := range []struct {
		client exchange.Client
		proto  string
		want   string
	}{
		{exchange.Client{Peer: peer, Scheme: "http", Host: "a:81"}, "1.1", "1.1 weir|http|81|a:81|192.0.2.1"},
		{exchange.Client{Peer: peer, Scheme: "http", Host: "a:81"}, "1.1", "1.1 weir|http|81|a:81|192.0.2.1"},
		{exchange.Client{Peer: peer, Scheme: "http", Host: "b"}, "1.1", "1.1 weir|http|80|b|192.0.2.1"},
		{exchange.Client{Peer: peer, Scheme: "https", Host: "b"}, "1.1", "1.1 weir|https|443|b|192.0.2.1"},
		{exchange.Client{Peer: peer, Scheme: "https", Host: "b"}, "2", "2 weir|https|443|b|192.0.2.1"},
		{exchange.Client{Peer: peer, IP: ip, Scheme: "https", Host: "b", Trusted: true}, "2", "2 weir|https|443|b|198.51.100.7, 192.0.2.1"},
		{exchange.Client{Peer: peer, IP: ip.Next(), Scheme: "https", Host: "b", Trusted: true}, "2", "2 weir|https|443|b|198.51.100.8, 192.0.2.1"},
		{exchange.Client{Peer: peer, Scheme: "https", Host: "b"}, "2", "2 weir|https|443|b|192.0.2.1"},
		{exchange.Client{Peer: netip.MustParseAddrPort("192.0.2.2:4000"), Scheme: "https", Host: "b"}, "2", "2 weir|https|443|b|192.0.2.2"},
		{exchange.Client{Scheme: "https", Host: "b"}, "2", "2 weir|https|443|b|"},
		{exchange.Client{Scheme: "https"}, "2", "2 weir|https|443||"},
	} {
		for kind, src := range kinds("Accept: */*") {
			out := exchange.MapHead(exchange.Ordered())
			if kind != "lines" {
				_, out = head()
			}
			forward.Request(out, src, &exchange.Exchange{Client: c.client, Connection: on}, c.proto, forward.Withheld{})
			var got []string
			for _, name := range []string{"Via", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Host", "X-Forwarded-For"} {
				got = append(got, strings.Join(out.Values(name), " and "))
			}
			if got := strings.Join(got, "|"); got != c.want {
				t.Errorf("%+v over %s, as %s: %s, want %s", c.client, c.proto, kind, got, c.want)
			}
		}
	}
}

// A connection of one client costs no memory for what is told of it, and one that asks hosts by turns no more than these.
func TestWhatIsToldOfAClientCostsWhatChanges(t *testing.T) {
	src, out := exchange.MapHead(exchange.Ordered("Accept", "*/*")), exchange.NewLines(20)
	client := exchange.Client{Peer: netip.MustParseAddrPort("192.0.2.1:4000"), Scheme: "http", Host: "a"}
	x := &exchange.Exchange{Client: client, Connection: new(exchange.Connection)}
	for _, c := range []struct {
		hosts []string
		want  float64
	}{{[]string{"a"}, 0}, {[]string{"a", "b"}, 2}} {
		n := 0
		got := testing.AllocsPerRun(200, func() {
			x.Client.Host = c.hosts[n%len(c.hosts)]
			n++
			out.Forget()
			forward.Request(out, src, x, "1.1", forward.Withheld{})
		})
		if got > c.want {
			t.Errorf("hosts %q: %v allocations for each request, want %v", c.hosts, got, c.want)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	b.ReportAllocs()
	in := browserHead()
	x := &exchange.Exchange{ID: "id", Client: forward.Receive(netip.MustParseAddrPort("192.0.2.1:1"), true, "shop.dev", in, nil)}
	for b.Loop() {
		forward.Request(exchange.MapHead(make(http.Header, 20)), in, x, "1.1", forward.Withheld{})
	}
}

// Names are told apart by their first letter and length before they are looked at: none that is managed may slip through,
// however it is spelled.
func TestManagedInEverySpelling(t *testing.T) {
	for _, name := range []string{
		"Connection", "Proxy-Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "HTTP2-Settings",
		"Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization", "Proxy", "Content-Length", "Host", "Expect",
		"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Request-Id", "Via",
		"X-Forwarded", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Url", "X-Original-Uri",
		"X-Original-Host", "X-Original-Method", "X-Original-Forwarded-For", "X-Rewrite-Url",
		"X-Forwarded-A", "X-Envoy-B", "X-Forwarded-" + strings.Repeat("c", 100), "X-Envoy-" + strings.Repeat("d", 51), "X-Envoy-" + strings.Repeat("e", 56),
	} {
		for _, spelled := range []string{name, strings.ToLower(name), strings.ToUpper(name), strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", ".")} {
			if !forward.Managed(spelled) {
				t.Errorf("%s passes", spelled)
			}
		}
	}
	for _, name := range []string{"", "X", "Accept", "Cookie", "Content-Type", "Hosts", "X-Envoy", "X-Request-Ids", "Via2", "Ex", strings.Repeat("x", 200), "\xff\xff"} {
		if forward.Managed(name) {
			t.Errorf("%s does not pass", name)
		}
	}
}

// alsoTold are fields that trusted peers send, and the field that says the same.
var alsoTold = map[string]string{
	"X-Forwarded": "X-Forwarded-For", "X-Real-Ip": "X-Forwarded-For", "X-Client-Ip": "X-Forwarded-For", "X-Cluster-Client-Ip": "X-Forwarded-For",
	"True-Client-Ip": "X-Forwarded-For", "X-Original-Forwarded-For": "X-Forwarded-For", "X-Original-Host": "X-Forwarded-Host",
}

// What is withheld is sent neither in Weir's words nor in those of a client, whether it is trusted or not. Everything
// else is sent as usual.
func TestWithheldFieldsAreNotSent(t *testing.T) {
	all := forward.Withholdable()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, peer := range []string{"10.0.0.1:1", "192.0.2.1:1"} {
		for kind, src := range kinds("Via: 1.1 before", "X-Forwarded-For: 198.51.100.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: told",
			"X-Forwarded-Port: 99", "X_Forwarded_For: 198.51.100.9", "X-Request-Id: told", "X-Own: 1", "X-Forwarded: 198.51.100.9",
			"X-Real-Ip: 198.51.100.9", "X-Client-Ip: 198.51.100.9", "X-Cluster-Client-Ip: 198.51.100.9", "True-Client-Ip: 198.51.100.9",
			"X-Original-Forwarded-For: 198.51.100.9", "X-Original-Host: told") {
			x := &exchange.Exchange{ID: "id", Connection: new(exchange.Connection), Client: forward.Receive(netip.MustParseAddrPort(peer), false, "own", src, trusted)}
			for told := range len(all) + 1 {
				out := exchange.MapHead(exchange.Ordered())
				forward.Request(out, src, x, "1.1", forward.AllBut(all[:told]))
				for name, with := range alsoTold {
					if got, want := out.Get(name), peer == "10.0.0.1:1" && slices.Contains(all[:told], with); got != "" != want {
						t.Errorf("%s as %s, told %v: %s is %q", peer, kind, all[:told], name, got)
					}
				}
				for i, name := range all {
					if got := out.Values(name); len(got) > 0 != (i < told) {
						t.Errorf("%s as %s, told %v: %s is %q", peer, kind, all[:told], name, got)
					}
				}
				if out.Get("Via") != "1.1 before, 1.1 weir" || out.Get("X-Own") != "1" || len(out.Values("Forwarded"))+len(out.Values("X_Forwarded_For")) > 0 {
					t.Errorf("%s as %s, told %v: Via is %q, X-Own %q, Forwarded %q", peer, kind, all[:told], out.Get("Via"), out.Get("X-Own"), out.Values("Forwarded"))
				}
			}
		}
	}
}

// A trusted peer's Forwarded tells the client's address, and the scheme and the host that the client used.
func TestForwardedIsSentIfAllOfItMayBe(t *testing.T) {
	all := forward.Withholdable()
	for _, without := range append(all, "") {
		told := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return name == without })
		_, src := head("Forwarded: for=198.51.100.9;host=told;proto=https")
		x := &exchange.Exchange{Client: forward.Receive(netip.MustParseAddrPort("10.0.0.1:1"), false, "own", src, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})}
		h, out := head()
		forward.Request(out, src, x, "1.1", forward.AllBut(told))
		want := without == "" || without == "X-Forwarded-Port" || without == "X-Request-Id"
		if len(h.Values("Forwarded")) > 0 != want || len(h.Values("X-Forwarded-For")) > 0 == (without == "X-Forwarded-For") {
			t.Errorf("without %s: %v", without, h)
		}
	}
}
