package ip_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/ip"
)

func decode(tb testing.TB, text string) (*ip.Config, []doc.Problem) {
	tb.Helper()
	var ps doc.Problems
	c, ok := ip.Definition().New().(*ip.Config)
	if !ok {
		tb.Fatal("New gives no *Config")
	}
	doc.Decode(doc.Parse("test.yaml", []byte("ip: "+text), &ps).Get("ip"), c, &ps)
	return c, ps.Sorted()
}

func policy(tb testing.TB, text string) filter.Policy {
	tb.Helper()
	c, problems := decode(tb, text)
	if len(problems) > 0 {
		tb.Fatal(problems)
	}
	p, err := ip.Definition().Build(filter.Env{}, c)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// send tells what the guard answers to a client, and what explain says of it.
func send(p filter.Policy, client netip.Addr) (int, filter.Verdict) {
	rec := httptest.NewRecorder()
	w, r := exchange.Begin(rec, httptest.NewRequest(http.MethodGet, "/", nil), &exchange.Exchange{Client: exchange.Client{IP: client}})
	verdict := p.Ask(r)
	p.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })).ServeHTTP(w, r)
	w.Finish(nil)
	return rec.Code, verdict
}

func TestAddressesPassByTheirRange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config, client string
		passes         bool
		why            string
	}{
		{`10.0.0.0/8`, "10.1.2.3", true, "10.1.2.3 is in 10.0.0.0/8"},
		{`10.0.0.0/8`, "11.0.0.0", false, "11.0.0.0 is in no range that may pass"},
		{`10.0.0.0/8`, "9.255.255.255", false, ""},
		{`[10.0.0.0/8, 10.1.0.0/16]`, "10.1.2.3", true, "10.1.2.3 is in 10.1.0.0/16"},
		{`[10.0.0.0/9, 10.128.0.0/9, 9.0.0.0/8]`, "10.255.255.255", true, ""},
		{`[10.0.0.0/9, 10.128.0.0/9, 9.0.0.0/8]`, "8.255.255.255", false, ""},
		{`192.0.2.7`, "192.0.2.7", true, "192.0.2.7 is in 192.0.2.7/32"},
		{`192.0.2.7`, "192.0.2.8", false, ""},
		{`0.0.0.0/0`, "192.0.2.8", true, ""},
		{`0.0.0.0/0`, "2001:db8::1", false, ""},
		{`"::/0"`, "192.0.2.8", false, ""},
		{`"2001:db8::/32"`, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true, ""},
		{`"2001:db8::/32"`, "2001:db9::", false, ""},
		// IPv4 in IPv6 is IPv4, on both sides.
		{`10.0.0.0/8`, "::ffff:10.1.2.3", true, ""},
		{`"::ffff:10.0.0.0/104"`, "10.1.2.3", true, ""},
		{`"::ffff:10.0.0.1"`, "10.0.0.1", true, ""},
		{`{ deny: 10.0.0.0/8 }`, "::ffff:10.1.2.3", false, ""},
		{`"fe80::/10"`, "fe80::1%eth0", true, ""},
		{`{ deny: 10.0.0.0/8 }`, "10.1.2.3", false, "10.1.2.3 is in 10.0.0.0/8, which may not pass"},
		{`{ deny: 10.0.0.0/8 }`, "192.0.2.1", true, "192.0.2.1 is in no range that may not pass"},
		{`{ allow: 10.0.0.0/8, deny: 10.0.0.66 }`, "10.0.0.66", false, ""},
		{`{ allow: 10.0.0.66, deny: 10.0.0.0/8 }`, "10.0.0.66", false, ""},
		{`{ allow: 10.0.0.0/8, deny: 10.0.0.66 }`, "10.0.0.67", true, ""},
		// Without an address nothing can be decided.
		{`{ deny: 10.0.0.0/8 }`, "", false, "the client has no address, for it came over a Unix socket"},
		{`0.0.0.0/0`, "", false, ""},
	} {
		var client netip.Addr
		if c.client != "" {
			client = netip.MustParseAddr(c.client)
		}
		status, verdict := send(policy(t, c.config), client)
		if want := map[bool]int{true: 204, false: 403}[c.passes]; status != want || (verdict.Fault == nil) != c.passes {
			t.Errorf("%s, client %q: %d and %v", c.config, c.client, status, verdict.Fault)
		}
		if c.why != "" && verdict.Why != c.why {
			t.Errorf("%s, client %q: because %s, want %s", c.config, c.client, verdict.Why, c.why)
		}
	}
}

// TestJoinedRangesAreTheSameSet compares with the plain reading: one after the other.
func TestJoinedRangesAreTheSameSet(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var list []string
		var prefixes []netip.Prefix
		for range 1 + random.IntN(12) {
			p, err := netip.AddrFrom4([4]byte{10, 0, byte(random.IntN(4)), byte(random.IntN(256))}).Prefix(20 + random.IntN(13))
			if err != nil {
				t.Fatal(err)
			}
			prefixes, list = append(prefixes, p), append(list, p.String())
		}
		built := policy(t, "["+strings.Join(list, ", ")+"]")
		for range 200 {
			client := netip.AddrFrom4([4]byte{10, 0, byte(random.IntN(5)), byte(random.IntN(256))})
			want := false
			for _, p := range prefixes {
				want = want || p.Contains(client)
			}
			if status, verdict := send(built, client); (status == 204) != want || (verdict.Fault == nil) != want {
				t.Fatalf("%v: %s gets %d, want it to pass: %v", list, client, status, want)
			}
		}
	}
}

func TestMistakesAreTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`[]`:                      `the list of who may pass is empty`,
		`{ allow: [] }`:           `the list of who may pass is empty`,
		`{ }`:                     `ip names no range of addresses`,
		`{ deny: [] }`:            `ip names no range of addresses`,
		`office`:                  `"office" is not a range of addresses`,
		`10.0.0.1/8`:              `10.0.0.1/8 has bits beyond its length; write 10.0.0.0/8 for the range, or 10.0.0.1 for the one address`,
		`"fe80::1%eth0"`:          `is not a range of addresses`,
		`{ alow: 10.0.0.0/8 }`:    `did you mean "allow"?`,
		`[10.0.0.0/8, 300.0.0.0]`: `"300.0.0.0" is not a range of addresses`,
	} {
		_, problems := decode(t, text)
		if len(problems) == 0 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

func BenchmarkGuard(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := &ip.Config{}
			for i := range n {
				c.Deny = append(c.Deny, prefixOf(byte(i>>8), byte(i)))
			}
			p, err := ip.Definition().Build(filter.Env{}, c)
			if err != nil {
				b.Fatal(err)
			}
			h := p.Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			x := &exchange.Exchange{Client: exchange.Client{IP: netip.MustParseAddr("192.0.2.1")}}
			w, r := exchange.Begin(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), x)
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}

// prefixOf is a range that no other number has.
func prefixOf(high, low byte) config.Prefix {
	return config.Prefix{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, high, low, 1}), 32)}
}

func TestADryRunOnlyTellsWhomItWouldRefuse(t *testing.T) {
	t.Parallel()
	p := policy(t, `{ allow: 10.0.0.0/8, deny: 10.9.0.0/16, dry_run: true }`)
	for client, why := range map[string]string{
		"10.1.2.3":  "10.1.2.3 is in 10.0.0.0/8",
		"10.9.0.1":  "10.9.0.1 is in 10.9.0.0/16, which may not pass; a dry run, so it passes",
		"192.0.2.1": "192.0.2.1 is in no range that may pass; a dry run, so it passes",
	} {
		if status, v := send(p, netip.MustParseAddr(client)); status != http.StatusNoContent || v.Fault != nil || v.Why != why {
			t.Errorf("%s: %d, %+v", client, status, v)
		}
	}
}
