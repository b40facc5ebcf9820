package forward

import (
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/field"
)

func TestParseForwarded(t *testing.T) {
	for line, want := range map[string][]Element{
		`for=192.0.2.43`:                            {{For: "192.0.2.43"}},
		`For="[2001:db8:cafe::17]:4711"`:            {{For: "[2001:db8:cafe::17]:4711"}},
		`for=192.0.2.60;proto=http;by=203.0.113.43`: {{For: "192.0.2.60", Proto: "http", By: "203.0.113.43"}},
		`for=192.0.2.43, for=198.51.100.17`:         {{For: "192.0.2.43"}, {For: "198.51.100.17"}},
		`for=_hidden, for=_SEVKISEK;host="a\"b\\c"`: {{For: "_hidden"}, {For: "_SEVKISEK", Host: `a"b\c`}},
		`for=unknown;secret=x;`:                     {{For: "unknown"}},
		` for=a ,	for=b `:                           {{For: "a"}, {For: "b"}},
		`;;for=a`:                                   {{For: "a"}},
		``:                                          {{}},
		`for=a,,for=b`:                              {{For: "a"}, {}, {For: "b"}},
		`host="with, comma; and semicolon";proto=https`: {{Host: "with, comma; and semicolon", Proto: "https"}},
	} {
		got, err := ParseForwarded(line)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
}

func TestParseForwardedRefusesWhatIsNoForwarded(t *testing.T) {
	for _, line := range []string{
		`for`, `for=`, `for="a`, `for="a\`, `for=a for=b`, `for = a`, `for=[::1]`, `for=a;for=b`, `for=a;For=a`,
		"for=\"a\x01\"", "for=\"a\\\x7f\"", `for=1.2.3.4:80`, `=a`, `for="a"b`,
	} {
		if got, err := ParseForwarded(line); err == nil {
			t.Errorf("%q: %+v", line, got)
		}
	}
	long := "for=a"
	for range maxElements {
		long += ",for=a"
	}
	if _, err := ParseForwarded(long); err == nil {
		t.Error("a line without end")
	}
}

// What ParseForwarded has read, written again, reads the same; and nothing in the
// field ever makes an untrusted client anybody else.
func FuzzParseForwarded(f *testing.F) {
	for _, seed := range []string{
		`for=192.0.2.60;proto=http;by=203.0.113.43`, `for="[2001:db8::1]:80", for=unknown`, `for="\"";host=a,b`, `;;,=;"`,
	} {
		f.Add(seed)
	}
	peer := netip.MustParseAddrPort("192.0.2.1:1")
	f.Fuzz(func(t *testing.T, line string) {
		client := Client(peer, false, "own", exchange.MapHead(http.Header{"Forwarded": {line}, "X-Forwarded-For": {line}}), nil)
		if client.IP != peer.Addr() || client.Host != "own" || client.Trusted {
			t.Fatalf("%q made the client %+v", line, client)
		}
		elements, err := ParseForwarded(line)
		if err != nil {
			return
		}
		var again []byte
		for i, e := range elements {
			if i > 0 {
				again = append(again, ',')
			}
			for _, pair := range [][2]string{{"for", e.For}, {"by", e.By}, {"host", e.Host}, {"proto", e.Proto}} {
				again = append(again, pair[0]+"="...)
				again = append(appendValue(again, pair[1]), ';')
			}
		}
		if got, err := ParseForwarded(string(again)); err != nil || !reflect.DeepEqual(got, elements) {
			t.Fatalf("%q became %q: %+v, %v", line, again, got, err)
		}
	})
}

// Whatever a client sends: nothing that stays folds to a name that Weir manages,
// but in the name's own spelling from a trusted proxy.
func FuzzReceive(f *testing.F) {
	f.Add("X_Forwarded_For", "a", "X-Mine, close", true)
	f.Add("Transfer-Encoding", "chunked", "", false)
	f.Add("connection", "upgrade", "upgrade", false)
	for _, alias := range []string{"Content_Length", "v.ia", "X_Real_Ip", "Proxy_Connection", "X-Forwarded_For", "Te"} {
		f.Add(alias, "5", "", false)
		f.Add(alias, "5", "", true)
	}
	peer := netip.MustParseAddrPort("192.0.2.1:1")
	all := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	f.Fuzz(func(t *testing.T, name, value, connection string, trust bool) {
		h := http.Header{name: {value}}
		if connection != "" {
			h["Connection"] = []string{connection}
		}
		var trusted []netip.Prefix
		if trust {
			trusted = all
		}
		Receive(peer, false, "own", exchange.MapHead(h), trusted)
		for name := range h {
			is := field.Know(name)
			rule, alias := ruleOf(is), is.IsAlias()
			switch {
			case rule == hop && name != "Connection" && name != "Upgrade" && name != "Te":
				t.Errorf("%q stayed", name)
			case rule != pass && alias, (rule == told || rule == own) && !trust:
				t.Errorf("%q stayed", name)
			}
		}
		if c := h.Get("Connection"); c != "" && c != "Upgrade" {
			t.Errorf("Connection: %q", c)
		}
	})
}
