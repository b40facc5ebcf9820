package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	protocol "github.com/miekg/dns"

	"github.com/weir-gateway/weir/internal/base/freeport"
)

func (r reply) String() string {
	var parts []string
	for _, a := range r.addrs {
		parts = append(parts, a.String())
	}
	for _, rec := range r.records {
		parts = append(parts, fmt.Sprintf("%s:%d/%d/%d", rec.target, rec.port, rec.priority, rec.weight))
	}
	if r.alias != "" {
		parts = append(parts, "alias "+r.alias)
	}
	if r.absent() {
		parts = append(parts, "absent")
	}
	return strings.Join(parts, " ")
}

func TestAnswers(t *testing.T) {
	s := serve(t,
		"users.internal. 30 IN A 10.0.0.1", "users.internal. 20 IN A 10.0.0.2", "users.internal. 60 IN AAAA fd00::1",
		"www.shop.dev. 300 IN CNAME shop.cdn.net.", "shop.cdn.net. 5 IN CNAME edge.cdn.net.", "edge.cdn.net. 60 IN A 192.0.2.1",
		"a.round. 60 IN CNAME b.round.", "b.round. 60 IN CNAME a.round.",
		"self. 60 IN CNAME self.",
		"dangling. 60 IN CNAME nowhere.",
		"bad.internal. 60 IN A 0.0.0.0", "bad.internal. 60 IN A 224.0.0.1", "bad.internal. 60 IN A 10.0.0.3",
		"_http._tcp.users. 60 IN SRV 1 2 8080 Users-1.internal.", "none._tcp.users. 60 IN SRV 0 0 0 .",
		"internal. 900 IN SOA ns.internal. admin.internal. 1 2 3 4 77",
	)
	for asked, want := range map[string]string{
		"A users.internal.":      "10.0.0.1 10.0.0.2, 20s",
		"A USERS.internal.":      "10.0.0.1 10.0.0.2, 20s",
		"AAAA users.internal.":   "fd00::1, 1m0s",
		"SRV users.internal.":    "absent, 1m17s",
		"A www.shop.dev.":        "192.0.2.1, 5s",
		"A nowhere.internal.":    "absent, 1m17s",
		"A dangling.":            "absent, 0s",
		"A bad.internal.":        "10.0.0.3, 1m0s",
		"A a.round.":             errRound.Error(),
		"A self.":                errRound.Error(),
		"SRV _http._tcp.users.":  "users-1.internal.:8080/1/2, 1m0s",
		"SRV none._tcp.users.":   "absent, 0s",
		"AAAA _http._tcp.users.": "absent, 1m17s",
	} {
		kindText, name, _ := strings.Cut(asked, " ")
		got, err := exchange(t.Context(), s.address, question{strings.ToLower(name), kind(protocol.StringToType[kindText])}, false)
		text := fmt.Sprintf("%s, %s", got, got.ttl)
		if err != nil {
			text = err.Error()
		}
		if text != want {
			t.Errorf("%s: got %s, want %s", asked, text, want)
		}
	}
}

// What tells nothing of a name is an error, and never the absence of the name.
func TestWhatTellsNothing(t *testing.T) {
	s := serve(t, "users.internal. 30 IN A 10.0.0.1")
	q := question{"users.internal.", kindA}
	for _, code := range []int{protocol.RcodeServerFailure, protocol.RcodeRefused, protocol.RcodeFormatError, protocol.RcodeNotImplemented, 15} {
		s.will(fails(code))
		_, err := exchange(t.Context(), s.address, q, false)
		if _, refused := errors.AsType[*refusalError](err); !refused {
			t.Errorf("%d: got %v", code, err)
		}
	}
	s.will(func(w protocol.ResponseWriter, m *protocol.Msg) bool { // neither an answer nor one who would find it
		res := new(protocol.Msg)
		res.SetReply(m)
		_ = w.WriteMsg(res)
		return true
	})
	if got, err := exchange(t.Context(), s.address, q, false); err == nil {
		t.Errorf("got %s", got)
	}
	s.will(func(protocol.ResponseWriter, *protocol.Msg) bool { return true })
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, errSilent)
	defer cancel()
	for _, tcp := range []bool{false, true} {
		if _, err := exchange(ctx, s.address, q, tcp); !errors.Is(err, errSilent) {
			t.Errorf("tcp %t: got %v", tcp, err)
		}
	}
	if _, err := exchange(t.Context(), freeport.Address(t), q, true); err == nil {
		t.Error("nobody answered")
	}
}

// Datagrams that are no answer to what was asked change nothing: anybody may send them.
func TestWhatIsNoAnswerIsNotHeard(t *testing.T) {
	s := serve(t, "users.internal. 30 IN A 10.0.0.1")
	s.will(func(w protocol.ResponseWriter, m *protocol.Msg) bool {
		if w.RemoteAddr().Network() != "udp" {
			return false
		}
		_, _ = w.Write([]byte("garbage"))
		_, _ = w.Write(nil)
		forged := func(change func(*protocol.Msg)) {
			res := new(protocol.Msg)
			res.SetReply(m)
			rr, _ := protocol.NewRR("users.internal. 30 IN A 6.6.6.6")
			res.Answer = []protocol.RR{rr}
			change(res)
			_ = w.WriteMsg(res)
		}
		forged(func(res *protocol.Msg) { res.Id++ })
		forged(func(res *protocol.Msg) { res.Response = false })
		forged(func(res *protocol.Msg) { res.Question[0].Name = "other.internal." })
		forged(func(res *protocol.Msg) { res.Question[0].Qtype = protocol.TypeAAAA })
		forged(func(res *protocol.Msg) { res.Question = nil })
		return false
	})
	got, err := exchange(t.Context(), s.address, question{"users.internal.", kindA}, false)
	if err != nil || got.String() != "10.0.0.1" {
		t.Errorf("got %s, %v", got, err)
	}
}

// What does not fit into a datagram comes by TCP, whole.
func TestTruncatedAnswersComeByTCP(t *testing.T) {
	var records []string
	for i := range 1000 {
		records = append(records, fmt.Sprintf("many.internal. 30 IN A 10.1.%d.%d", i/250, i%250+1))
	}
	s := serve(t, records...)
	got, err := exchange(t.Context(), s.address, question{"many.internal.", kindA}, false)
	if err != nil || len(got.addrs) != 1000 {
		t.Errorf("%d addresses, %v", len(got.addrs), err)
	}
	if s.times("A many.internal. udp") != 1 || s.times("A many.internal. tcp") != 1 {
		t.Errorf("asked were %v", s.asked)
	}
	if _, err := exchange(t.Context(), s.address, question{"many.internal.", kindA}, true); err != nil || s.times("A many.internal. udp") != 1 {
		t.Errorf("by TCP alone: %v, %v", err, s.asked)
	}
	s.will(func(w protocol.ResponseWriter, m *protocol.Msg) bool {
		return w.RemoteAddr().Network() == "tcp" && w.Close() == nil
	})
	if got, err := exchange(t.Context(), s.address, question{"many.internal.", kindA}, false); err == nil {
		t.Errorf("a part was taken for all: %d addresses", len(got.addrs))
	}
}

func TestServersThatDoNotKnowEDNS(t *testing.T) {
	s := serve(t, "users.internal. 30 IN A 10.0.0.1")
	s.will(func(w protocol.ResponseWriter, m *protocol.Msg) bool {
		return m.IsEdns0() != nil && fails(protocol.RcodeFormatError)(w, m)
	})
	got, err := exchange(t.Context(), s.address, question{"users.internal.", kindA}, false)
	if err != nil || got.String() != "10.0.0.1" {
		t.Errorf("got %s, %v", got, err)
	}
}

// An alias that the server did not follow is for us to follow, and addresses that come along are taken.
func TestReadingMessages(t *testing.T) {
	rr := func(text string) protocol.RR {
		r, err := protocol.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	m := new(protocol.Msg)
	m.SetQuestion("www.shop.dev.", protocol.TypeA)
	m.Answer = []protocol.RR{rr("www.shop.dev. 9 IN CNAME shop.cdn.net.")}
	if got, err := read(m, question{"www.shop.dev.", kindA}); err != nil || got.alias != "shop.cdn.net." || got.ttl != 9*time.Second {
		t.Errorf("got %+v, %v", got, err)
	}
	long := rr("www.shop.dev. 9 IN A 192.0.2.1")
	long.Header().Ttl = 1 << 31
	m.Answer = []protocol.RR{long, rr("other.dev. 1 IN A 6.6.6.6"), rr("www.shop.dev. 9 IN A 192.0.2.2")}
	if got, err := read(m, question{"www.shop.dev.", kindA}); err != nil || got.String() != "192.0.2.1 192.0.2.2" || got.ttl != 0 {
		t.Errorf("got %s, %s, %v", got, got.ttl, err)
	}
	m.Answer = []protocol.RR{rr("www.shop.dev. 60 IN SRV 0 0 80 a.shop.dev.")}
	m.Extra = []protocol.RR{rr("a.shop.dev. 7 IN A 192.0.2.1"), rr("A.shop.dev. 30 IN AAAA 2001:db8::1"), rr("x.dev. 1 IN TXT x")}
	got, err := read(m, question{"www.shop.dev.", kindSRV})
	if want := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}; err != nil || fmt.Sprint(got.extra["a.shop.dev."]) != fmt.Sprint(want) || got.ttl != 7*time.Second {
		t.Errorf("got %+v, %v", got, err)
	}
}

// FuzzRead reads whatever a server may send: it ends, and every address is somebody's.
func FuzzRead(f *testing.F) {
	for _, text := range []string{"users.internal. 30 IN A 10.0.0.1", "users.internal. 30 IN CNAME users.internal.", "users.internal. 30 IN SRV 1 1 1 users.internal."} {
		rr, err := protocol.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		m := new(protocol.Msg)
		m.SetQuestion("users.internal.", rr.Header().Rrtype)
		m.Answer, m.Extra = []protocol.RR{rr}, []protocol.RR{rr}
		raw, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := new(protocol.Msg)
		if m.Unpack(raw) != nil {
			return
		}
		for _, k := range []kind{kindA, kindAAAA, kindSRV} {
			got, err := read(m, question{"users.internal.", k})
			if err != nil {
				continue
			}
			if got.ttl < 0 {
				t.Errorf("the TTL is %s", got.ttl)
			}
			for _, a := range got.addrs {
				if !a.IsValid() || a.IsUnspecified() || a.Is4In6() {
					t.Errorf("got the address %s", a)
				}
			}
		}
	})
}
