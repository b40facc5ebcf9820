package dns

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

func (s settings) String() string {
	text := fmt.Sprintf("%s; %s; ndots %d, %s, %d times", strings.Join(s.servers, " "), strings.Join(s.search, " "), s.ndots, s.timeout, s.attempts)
	for name, set := range map[string]bool{"rotate": s.rotate, "tcp": s.tcp, "singly": s.singly, "system": s.system} {
		if set {
			text += ", " + name
		}
	}
	if len(s.families) == 1 {
		text += ", " + s.families[0].String()
	}
	return text
}

func TestResolvConf(t *testing.T) {
	const usual = "ndots 1, 2s, 2 times"
	for text, want := range map[string]string{
		"":                      "127.0.0.1:53 [::1]:53; ; " + usual,
		"nameserver 10.0.0.2\n": "10.0.0.2:53; ; " + usual,
		"nameserver 10.0.0.1\nnameserver fd00::2\nnameserver fe80::3%eth0\nnameserver 10.0.0.4":                 "10.0.0.1:53 [fd00::2]:53 [fe80::3%eth0]:53; ; " + usual,
		"nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5": "10.96.0.10:53; shop.svc.cluster.local. svc.cluster.local. cluster.local.; ndots 5, 2s, 2 times",
		"search a.b\ndomain Shop.Dev\n":                                  "127.0.0.1:53 [::1]:53; shop.dev.; " + usual,
		"domain a.b\nsearch c.d e.f c.d .\n":                             "127.0.0.1:53 [::1]:53; c.d. e.f.; " + usual,
		"# nameserver 1.1.1.1\n; nameserver 1.1.1.1\n x\n\n":             "127.0.0.1:53 [::1]:53; ; " + usual,
		"nameserver\nnameserver dns.shop.dev\noptions\nsortlist 1.2.3.4": "127.0.0.1:53 [::1]:53; ; " + usual,
		"options timeout:7 attempts:3\toptions":                          "127.0.0.1:53 [::1]:53; ; ndots 1, 7s, 3 times",
		"options ndots:99 timeout:0 attempts:-1":                         "127.0.0.1:53 [::1]:53; ; ndots 15, 1s, 1 times",
		"options ndots:x timeout:x attempts: debug edns0 trust-ad inet6": "127.0.0.1:53 [::1]:53; ; " + usual,
		"options use-vc":                "127.0.0.1:53 [::1]:53; ; " + usual + ", tcp",
		"options rotate":                "127.0.0.1:53 [::1]:53; ; " + usual + ", rotate",
		"options single-request-reopen": "127.0.0.1:53 [::1]:53; ; " + usual + ", singly",
		"options no-aaaa":               "127.0.0.1:53 [::1]:53; ; " + usual + ", A",
	} {
		if got := readResolvConf([]byte(text), "vm").String(); got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
	if got := readResolvConf(nil, "vm.Shop.dev").search; fmt.Sprint(got) != "[shop.dev.]" {
		t.Errorf("the domain of the machine's own name: %q", got)
	}
}

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 10.0.0.1\nsearch a b\noptions ndots:5 timeout:3 attempts:2 rotate\n", "vm.dev")
	f.Fuzz(func(t *testing.T, text, host string) {
		s := readResolvConf([]byte(text), host)
		if len(s.servers) < 1 || len(s.servers) > mostServers || len(s.search) > mostDomains || s.ndots < 0 || s.ndots > mostNdots || s.attempts < 1 || s.attempts > mostAttempts || s.timeout < time.Second || s.timeout > longestTimeout*time.Second {
			t.Errorf("%q: %s", text, s)
		}
		for _, server := range s.servers {
			if _, err := netip.ParseAddrPort(server); err != nil {
				t.Errorf("%q: the server %q", text, server)
			}
		}
		for _, domain := range s.search {
			if discovery.CheckName(domain) != nil || !strings.HasSuffix(domain, ".") {
				t.Errorf("%q: the domain %q", text, domain)
			}
		}
	})
}

func TestHosts(t *testing.T) {
	h := readHosts([]byte("127.0.0.1\tlocalhost VM # mine\n::1 localhost ip6-localhost\n#10.0.0.1 no\nnonsense no\n10.0.0.1\n10.0.0.2 users.internal. users\n10.0.0.3 users\n10.0.0.2 users\nfe80::1%eth0 linked\n"))
	for name, want := range map[string]string{"localhost": "[127.0.0.1 ::1]", "vm": "[127.0.0.1]", "no": "[]", "users": "[10.0.0.2 10.0.0.3]", "users.internal": "[10.0.0.2]", "linked": "[fe80::1%eth0]"} {
		if got := fmt.Sprint(h[name]); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func FuzzHosts(f *testing.F) {
	f.Add("127.0.0.1 localhost # x\n")
	f.Fuzz(func(t *testing.T, text string) {
		for name, list := range readHosts([]byte(text)) {
			if name != strings.ToLower(name) || len(list) == 0 || slices.ContainsFunc(list, func(a netip.Addr) bool { return !a.IsValid() }) {
				t.Errorf("%q: %q is at %v", text, name, list)
			}
		}
	})
}

// What the config says stands over what the machine says, and servers of its own get no
// questions that were made for the machine's.
func TestTheConfigStandsOverTheMachine(t *testing.T) {
	h := machineOf(t, "nameserver 10.0.0.2\nsearch machine.dev\noptions ndots:3 timeout:9 attempts:4 rotate", "")
	for name, c := range map[string]struct {
		own  *config.Resolver
		want string
	}{
		"nothing":  {nil, "10.0.0.2:53; machine.dev.; ndots 3, 9s, 4 times, rotate"},
		"servers":  {&config.Resolver{Servers: []string{"10.0.0.3:53"}}, "10.0.0.3:53; ; ndots 1, 2s, 2 times"},
		"search":   {&config.Resolver{Search: []string{"Shop.internal"}}, "10.0.0.2:53; shop.internal.; ndots 3, 9s, 4 times, rotate"},
		"timeout":  {&config.Resolver{Timeout: time.Second}, "10.0.0.2:53; machine.dev.; ndots 3, 1s, 4 times, rotate"},
		"a family": {&config.Resolver{Family: config.IPv4}, "10.0.0.2:53; machine.dev.; ndots 3, 9s, 4 times, rotate, A"},
		"another":  {&config.Resolver{Family: config.IPv6}, "10.0.0.2:53; machine.dev.; ndots 3, 9s, 4 times, rotate, AAAA"},
	} {
		if got := h.settings(c.own).String(); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	h.system = true
	if got := h.settings(nil); !got.system {
		t.Errorf("got %s", got)
	}
	if got := h.settings(&config.Resolver{Servers: []string{"10.0.0.3:53"}}); got.system {
		t.Errorf("with servers: %s", got)
	}
}

func TestAFileThatIsReadAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	reads := 0
	w := &watched[string]{path: path, read: func(text []byte) string { reads++; return string(text) }}
	step := func(want string, times int) {
		t.Helper()
		if got := w.get(); got != want || reads != times {
			t.Errorf("got %q after %d reads, want %q after %d", got, reads, want, times)
		}
	}
	step("", 1)
	step("", 1)
	write(t, path, "a")
	step("a", 2)
	step("a", 2)
	write(t, path, "bb")
	step("bb", 3)
	if err := os.Chtimes(path, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	step("bb", 4)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	step("bb", 4)
}

// The machine is asked as it is: nothing of it leaves this machine.
func TestTheSystem(t *testing.T) {
	s := settings{families: []kind{kindA, kindAAAA}}
	got, err := systemAddresses(t.Context(), s, "127.0.0.1")
	if err != nil || fmt.Sprint(got.addrs) != "[127.0.0.1]" || !got.until.After(time.Now()) {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = systemAddresses(t.Context(), s, "not a name")
	if err != nil || !got.absent {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := systemServices(t.Context(), "not a name"); err != nil || !got.absent {
		t.Errorf("got %+v, %v", got, err)
	}
	if !usable(netip.MustParseAddr("127.0.0.1")) {
		t.Error("this machine cannot reach itself")
	}
}
