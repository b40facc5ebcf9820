package dns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	protocol "github.com/miekg/dns"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

// moment is how long a zone takes to answer in a bubble.
const moment = time.Millisecond

// bubble runs a provider with a clock that the test moves, against a zone. The zone answers after a moment, so that the
// first answers are those that the story gives before it first waits.
func bubble(t *testing.T, s config.Service, story func(t *testing.T, z *zone, r *running)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := machineOf(t, "nameserver 192.0.2.53\n", "")
		z := &zone{}
		h.by = func(ctx context.Context, server string, q question, streams bool) (reply, error) {
			wait(moment)
			return z.exchange(ctx, server, q, streams)
		}
		r := h.run(t, s)
		story(t, z, r)
		r.stop()
		if len(h.resolvers) != 0 {
			t.Error("a resolver is left")
		}
	})
}

// told is what was told since the last call: sets, and looks by their outcome.
func (r *running) told() string {
	synctest.Wait()
	var all []string
	for len(r.parts) > 0 {
		all = append(all, "partly {"+show(<-r.parts)+"}")
	}
	for len(r.sets) > 0 {
		all = append(all, "{"+show(<-r.sets)+"}")
	}
	for len(r.looks) > 0 {
		switch err := <-r.looks; {
		case err == nil:
			all = append(all, "found")
		case errors.Is(err, discovery.ErrAbsent):
			all = append(all, "absent")
		default:
			all = append(all, "failed")
		}
	}
	return strings.Join(slices.Compact(all), " ")
}

// A name is looked up again when its TTL is over, not before and not much later.
func TestTTLs(t *testing.T) {
	for ttl, want := range map[time.Duration]time.Duration{
		0:               config.DefaultMinTTL,
		5 * time.Second: 5 * time.Second,
		time.Minute:     time.Minute,
		48 * time.Hour:  config.DefaultMaxTTL,
	} {
		bubble(t, source("http", "//users.internal:8080"), func(t *testing.T, z *zone, r *running) {
			t.Helper()
			z.will("A users.internal.", addrs(ttl, "10.0.0.1"))
			wait(time.Hour)
			_, _ = r.told(), z.take()
			wait(10 * want)
			if n := len(z.take()) / 2; n < 9 || n > 10 {
				t.Errorf("TTL %s: asked %d times in ten of %s", ttl, n, want)
			}
		})
	}
}

func TestAddressesThatChange(t *testing.T) {
	bubble(t, source("http", "//users.internal:8080"), func(t *testing.T, z *zone, r *running) {
		t.Helper()
		wait(longestDoubt)
		r.told()
		for _, step := range []struct {
			answer any
			wait   time.Duration
			want   string
		}{
			{addrs(5*time.Second, "10.0.0.2", "10.0.0.1"), 6 * time.Second, "{10.0.0.1:8080, 10.0.0.2:8080} found"},
			{addrs(5*time.Second, "10.0.0.1", "10.0.0.2", "10.0.0.1"), 6 * time.Second, "found"},
			{addrs(5*time.Second, "10.0.0.2", "10.0.0.3"), 6 * time.Second, "{10.0.0.2:8080, 10.0.0.3:8080} found"},
		} {
			z.will("A users.internal.", step.answer)
			wait(step.wait)
			if got := r.told(); got != step.want {
				t.Errorf("got %s, want %s", got, step.want)
			}
		}
	})
}

// What cannot be seen stays, however long; it is looked again, but not in a hurry.
func TestNobodyCanTell(t *testing.T) {
	bubble(t, source("http", "//users.internal:8080"), func(t *testing.T, z *zone, r *running) {
		t.Helper()
		z.will("A users.internal.", addrs(0, "10.0.0.1"))
		z.will("AAAA users.internal.", reply{})
		wait(10 * time.Second)
		if got := r.told(); got != "{10.0.0.1:8080} found" && got != "{10.0.0.1:8080} absent found" {
			t.Fatalf("got %s", got)
		}
		for _, trouble := range []any{servfail(), silent} {
			z.will("A users.internal.", trouble)
			z.will("AAAA users.internal.", trouble)
			wait(30 * time.Second)
			_, _ = r.told(), z.take()
			wait(10 * time.Minute)
			if got := r.told(); got != "failed" {
				t.Errorf("got %s", got)
			}
			if n := len(z.take()); n < 60 || n > 300 {
				t.Errorf("asked %d times in ten minutes", n)
			}
		}
		z.will("A users.internal.", addrs(0, "10.0.0.2"))
		z.will("AAAA users.internal.", servfail())
		wait(longestPause * 2)
		if got := r.told(); !strings.HasPrefix(got, "{10.0.0.2:8080} ") || !strings.HasSuffix(got, "found") {
			t.Errorf("when it is back: %s", got)
		}
	})
}

// That a name is gone is believed when it has been said for long enough.
func TestANameIsAbsent(t *testing.T) {
	for name, c := range map[string]struct {
		negative time.Duration // TTL
		lasts    time.Duration // how long it is said
		want     string
	}{
		"a server that restarts":          {0, shortestDoubt - 3*time.Second, "absent"},
		"what caches repeat":              {30 * time.Second, 29 * time.Second, "absent"},
		"a name that is gone":             {0, shortestDoubt + 2*absencePauses, "{} absent"},
		"gone, with caches that forget":   {30 * time.Second, 45 * time.Second, "{} absent"},
		"gone, with caches that remember": {time.Hour, longestDoubt + 2*absencePauses, "{} absent"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, source("http", "//users.internal:8080"), func(t *testing.T, z *zone, r *running) {
				t.Helper()
				z.will("A users.internal.", addrs(0, "10.0.0.1"))
				wait(longestDoubt)
				r.told()
				z.will("A users.internal.", reply{ttl: c.negative})
				wait(2 * time.Second) // until that is seen
				if got := r.told(); got != "found absent" && got != "absent" {
					t.Fatalf("at first: %s", got)
				}
				wait(c.lasts - 2*time.Second)
				if got := r.told(); got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
				z.will("A users.internal.", addrs(time.Minute, "10.0.0.1"))
				wait(2 * absencePauses)
				if got, want := r.told(), strings.Contains(c.want, "{}"); strings.Contains(got, "{10.0.0.1:8080}") != want || !strings.HasSuffix(got, "found") {
					t.Errorf("when it is back: %s", got)
				}
			})
		})
	}
}

// A name that nobody knows yet heals by itself, and until it is sure tells no set.
func TestANameThatComesLate(t *testing.T) {
	bubble(t, source("http", "//late.internal:8080"), func(t *testing.T, z *zone, r *running) {
		t.Helper()
		wait(2 * moment)
		if got := r.told(); got != "absent" {
			t.Errorf("at once: %s", got)
		}
		wait(longestDoubt)
		if got := r.told(); got != "{} absent" {
			t.Errorf("after a minute: %s", got)
		}
		wait(24 * time.Hour)
		_, _ = r.told(), z.take()
		wait(time.Minute)
		if n := len(z.take()); n < 20 || n > 26 { // both families, every 5 s
			t.Errorf("asked %d times in a minute", n)
		}
		z.will("A late.internal.", addrs(time.Minute, "10.0.0.1"))
		wait(6 * time.Second)
		if got := r.told(); got != "{10.0.0.1:8080} absent found" && got != "{10.0.0.1:8080} found" {
			t.Errorf("when it is there: %s", got)
		}
	})
}

// A family that cannot be asked for keeps its addresses, and the other one goes on.
func TestOneFamilyCannotBeSeen(t *testing.T) {
	bubble(t, source("http", "//users.internal:80"), func(t *testing.T, z *zone, r *running) {
		t.Helper()
		z.will("A users.internal.", addrs(0, "10.0.0.1"))
		z.will("AAAA users.internal.", addrs(0, "2001:db8::1"))
		wait(time.Minute)
		if got := r.told(); !strings.Contains(got, "{[2001:db8::1]:80|10.0.0.1:80}") {
			t.Fatalf("at first: %s", got)
		}
		z.will("AAAA users.internal.", servfail())
		z.will("A users.internal.", addrs(0, "10.0.0.2"))
		wait(10 * time.Second)
		if got := r.told(); got != "{[2001:db8::1]:80|10.0.0.2:80} found" {
			t.Errorf("without AAAA: %s", got)
		}
		z.will("AAAA users.internal.", reply{})
		wait(10 * time.Second)
		if got := r.told(); got != "{10.0.0.2:80} found" {
			t.Errorf("when it is gone: %s", got)
		}
	})
}

func TestServiceRecords(t *testing.T) {
	secure := source("srv", "_https._tcp.users.internal")
	secure.TLS = &config.ClientTLS{}
	bubble(t, secure, func(t *testing.T, z *zone, r *running) {
		t.Helper()
		step := func(what, want string) {
			t.Helper()
			wait(2 * time.Minute)
			got := r.told()
			if i := strings.LastIndex(got, "{"); i >= 0 {
				got = got[i : strings.LastIndex(got, "}")+1]
			} else {
				got = "nothing"
			}
			if got != want {
				t.Errorf("%s: got %s, want %s", what, got, want)
			}
		}
		two := func(weight uint16) reply {
			return reply{ttl: 5 * time.Second, records: []record{
				{"b.internal.", 8443, 10, weight}, {"a.internal.", 8443, 10, weight}, {"spare.internal.", 443, 20, 1}, {"a.internal.", 8443, 10, weight},
			}}
		}
		z.will("A a.internal.", addrs(0, "10.0.0.1"))
		z.will("A b.internal.", addrs(0, "10.0.0.2"))
		z.will("A spare.internal.", addrs(0, "10.0.0.9"))
		z.will("SRV _https._tcp.users.internal.", two(5))
		step("the least priority", "{10.0.0.1:8443 users.internal *5, 10.0.0.2:8443 users.internal *5}")
		z.will("A a.internal.", addrs(0, "10.0.0.1", "10.0.0.3"))
		step("a target's weight is that of its addresses", "{10.0.0.1:8443 users.internal, 10.0.0.3:8443 users.internal, 10.0.0.2:8443 users.internal *2}")
		z.will("A a.internal.", servfail())
		z.will("AAAA a.internal.", servfail())
		z.will("A b.internal.", reply{})
		step("one that cannot be seen stays, one that is gone goes", "{10.0.0.1:8443 users.internal, 10.0.0.3:8443 users.internal}")
		z.will("SRV _https._tcp.users.internal.", servfail())
		step("the record cannot be seen", "nothing")
		z.will("SRV _https._tcp.users.internal.", two(0))
		z.will("A a.internal.", reply{})
		z.will("AAAA a.internal.", reply{})
		step("the next priority", "{10.0.0.9:443 users.internal}")
		along := two(0)
		along.extra = map[string][]netip.Addr{"b.internal.": addrs(0, "10.0.0.7").addrs}
		z.will("SRV _https._tcp.users.internal.", along)
		step("what came along is taken", "{10.0.0.7:8443 users.internal}")
		z.will("SRV _https._tcp.users.internal.", reply{})
		step("no such service", "{}")
	})
}

func TestAListOfNames(t *testing.T) {
	s := config.Service{Name: "users", TLS: &config.ClientTLS{}, Endpoints: []config.Endpoint{
		{Address: "a.internal:8443", Weight: 2, Zone: "x"}, {Address: "10.9.9.9:8443", Weight: 1}, {Address: "b.internal:8443", Weight: 0}, {Address: "c.internal.:8443", Weight: 1},
	}}
	bubble(t, s, func(t *testing.T, z *zone, r *running) {
		t.Helper()
		z.will("A a.internal.", addrs(0, "10.0.0.1", "10.0.0.2"))
		z.will("A b.internal.", addrs(0, "10.0.0.3"))
		z.will("A c.internal.", servfail())
		wait(longestDoubt)
		sets := r.told()
		if want := "partly {10.0.0.1:8443 a.internal, 10.0.0.2:8443 a.internal, 10.9.9.9:8443, 10.0.0.3:8443 b.internal *0} failed"; sets != want {
			t.Errorf("got %s", sets)
		}
		z.will("A c.internal.", addrs(0, "10.0.0.4"))
		wait(longestDoubt)
		if got, want := r.told(), "{10.0.0.1:8443 a.internal, 10.0.0.2:8443 a.internal, 10.9.9.9:8443, 10.0.0.3:8443 b.internal *0, 10.0.0.4:8443 c.internal}"; !strings.HasPrefix(got, want) {
			t.Errorf("got %s", got)
		}
	})
}

func TestWhatNeedsNoLookingUp(t *testing.T) {
	for _, s := range []config.Service{
		source("http", "//10.0.0.1:80"),
		{Endpoints: []config.Endpoint{{Address: "10.0.0.1:80", Weight: 1}, {Address: "unix:/run/app.sock", Weight: 1}}},
		{},
	} {
		bubble(t, s, func(t *testing.T, z *zone, r *running) {
			t.Helper()
			wait(time.Hour)
			if got := r.told(); !strings.HasPrefix(got, "{") || strings.Count(got, "{") != 1 || strings.Contains(got, "found") || len(z.take()) != 0 {
				t.Errorf("got %s", got)
			}
		})
	}
}

// Two services at one name ask once.
func TestServicesShareWhatTheyLookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := machineOf(t, "nameserver 192.0.2.53\n", "")
		z := &zone{}
		z.will("A users.internal.", addrs(10*time.Second, "10.0.0.1"))
		h.by = z.exchange
		var all []*running
		for _, port := range []string{"80", "81", "82", "83"} {
			all = append(all, h.run(t, source("http", "//users.internal:"+port)))
		}
		synctest.Wait()
		if got := z.take(); len(got) != 2 {
			t.Errorf("asked were %q", got)
		}
		wait(100 * time.Second)
		if got := z.take(); len(got) < 16 || len(got) > 22 {
			t.Errorf("asked %d times", len(got))
		}
		for _, r := range all {
			if got := r.told(); !strings.HasPrefix(got, "{10.0.0.1:8") {
				t.Errorf("got %s", got)
			}
			r.stop()
		}
	})
}

func TestTooManyEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := machineOf(t, "", "")
		z := &zone{}
		many := reply{}
		for i := range mostEndpoints + 10 {
			many.addrs = append(many.addrs, addrs(0, fmt.Sprintf("10.1.%d.%d", i/256, i%256)).addrs...)
		}
		slices.Reverse(many.addrs)
		z.will("A many.internal.", many)
		h.by = z.exchange
		var log bytes.Buffer
		p, err := h.provider(discovery.Env{Log: slog.New(slog.NewTextHandler(&log, nil))}, source("http", "//many.internal"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var sets [][]discovery.Endpoint
		if err := p.Run(ctx, func(list []discovery.Endpoint) { sets = append(sets, list) }); err != nil {
			t.Error(err)
		}
		if len(sets) != 1 || len(sets[0]) != mostEndpoints || sets[0][0].Address != "10.1.0.0:80" {
			t.Errorf("%d sets", len(sets))
		}
		if strings.Count(log.String(), "more endpoints than are used") != 1 {
			t.Errorf("the log: %s", log.String())
		}
	})
}

// The same over sockets, with a server that changes its mind.
func TestAgainstAServer(t *testing.T) {
	s := serve(t, "users.internal. 0 IN A 127.0.0.2", "users.internal. 0 IN A 127.0.0.1", "internal. 0 IN SOA ns. admin. 1 1 1 1 0")
	h := machineOf(t, "nameserver 192.0.2.53\n", "")
	r := h.run(t, source("https", "//users.internal", s.address))
	if got := show(r.next()); got != "127.0.0.1:443 users.internal, 127.0.0.2:443 users.internal" {
		t.Fatalf("got %s", got)
	}
	s.set("users.internal. 0 IN CNAME other.internal.", "other.internal. 0 IN A 127.0.0.3")
	if got := show(r.next()); got != "127.0.0.3:443 users.internal" {
		t.Errorf("got %s", got)
	}
	s.will(fails(protocol.RcodeServerFailure))
	for r.look() == nil {
	}
	s.will(nil)
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("users.internal. 0 IN A 10.1.%d.%d", i/250, i%250))
	}
	s.set(many...)
	if got := r.next(); len(got) != 1000 || got[0].Address != "10.1.0.0:443" || got[999].Address != "10.1.3.249:443" {
		t.Errorf("got %d endpoints: %s", len(got), show(got[:min(3, len(got))]))
	}
	r.stop()
	if len(r.sets) != 0 {
		t.Errorf("told besides: %s", show(<-r.sets))
	}
}

// What the machine says is read anew when it has changed.
func TestTheMachinesFilesChange(t *testing.T) {
	a, b := serve(t, "users.internal. 0 IN A 127.0.0.1"), serve(t, "users.shop. 0 IN A 127.0.0.2", "shop. 0 IN SOA ns. admin. 1 1 1 1 0")
	h := machineOf(t, "", "")
	conf := settings{servers: []string{a.address}, ndots: 1, timeout: time.Minute, attempts: 1, families: []kind{kindA}}
	h.conf.read = func(text []byte) settings {
		if strings.Contains(string(text), "changed") {
			conf.servers, conf.search = []string{b.address}, []string{"shop."}
		}
		return conf
	}
	r := h.run(t, config.Service{Source: config.Ref{Scheme: "http", Rest: "//users.internal"}, Resolver: &config.Resolver{MinTTL: 100 * time.Millisecond}})
	if got := show(r.next()); got != "127.0.0.1:80" {
		t.Fatalf("got %s", got)
	}
	write(t, h.conf.path, "changed, and longer")
	b.set("users.internal. 0 IN A 127.0.0.2")
	if got := show(r.next()); got != "127.0.0.2:80" {
		t.Errorf("by the new server: %s", got)
	}
	write(t, h.hosts.path, "10.0.0.1 users.internal")
	if got := show(r.next()); got != "10.0.0.1:80" {
		t.Errorf("by /etc/hosts: %s", got)
	}
}
