package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	protocol "github.com/miekg/dns"
)

// kind is a record type.
type kind uint16

// The record types, by their numbers.
const (
	kindA     = kind(protocol.TypeA)
	kindAAAA  = kind(protocol.TypeAAAA)
	kindSRV   = kind(protocol.TypeSRV)
	kindCNAME = kind(protocol.TypeCNAME)
)

func (k kind) String() string { return protocol.TypeToString[uint16(k)] }

// question is a DNS question.
type question struct {
	name string // absolute, in lower case, with the trailing dot
	kind kind
}

// record is an SRV record (RFC 2782).
type record struct {
	target                 string // in the form of question.name
	port, priority, weight uint16
}

// reply is a server's answer: the records at the end of the name's aliases (CNAME), or that there are none.
type reply struct {
	addrs   []netip.Addr
	records []record
	// extra are the addresses that came along for the targets of records.
	extra map[string][]netip.Addr
	// alias is the name at which the answer ends without records; "" if it is complete.
	alias string
	// ttl is how long all of it may be kept; for absent records it comes from the zone (RFC 2308 section 5).
	ttl time.Duration
}

// absent tells that there are no such records.
func (r reply) absent() bool { return len(r.addrs)+len(r.records) == 0 && r.alias == "" }

// refusalError is an answer that says nothing about the name: the server could not or would not find out.
type refusalError struct{ what string }

func (e *refusalError) Error() string { return e.what }

const (
	// datagram is the announced size (DNS Flag Day 2020): larger answers would be fragmented. Larger answers from
	// servers are accepted nevertheless, up to largestDatagram.
	datagram        = 1232
	largestDatagram = 4096
	// longestChain bounds chains of aliases within one answer.
	longestChain = 16
)

// errRound is a name whose aliases form a loop.
var errRound = errors.New("its aliases lead round in a circle")

// exchange asks a server, host:port. If the answer does not fit into a datagram it is fetched over TCP (RFC 7766
// section 5), and without EDNS0 if the server does not know EDNS0 (RFC 6891 section 7). The error is a *refusalError if
// there was an answer.
func exchange(ctx context.Context, server string, q question, tcp bool) (reply, error) {
	m := new(protocol.Msg)
	m.SetQuestion(q.name, uint16(q.kind))
	m.SetEdns0(datagram, false)
	network := "udp"
	if tcp {
		network = "tcp"
	}
	got, err := roundTrip(ctx, network, server, m)
	if err == nil && (got.Rcode == protocol.RcodeFormatError || got.Rcode == protocol.RcodeNotImplemented || got.Rcode == protocol.RcodeBadVers) {
		m.Extra, m.Id = nil, protocol.Id()
		got, err = roundTrip(ctx, network, server, m)
	}
	if err == nil && got.Truncated && !tcp {
		m.Id = protocol.Id()
		got, err = roundTrip(ctx, "tcp", server, m)
	}
	if err != nil {
		return reply{}, err
	}
	return read(got, q)
}

// roundTrip sends one message and waits for its answer until ctx ends. Other packets are ignored, because anyone may
// send to a port.
func roundTrip(ctx context.Context, network, server string, m *protocol.Msg) (*protocol.Msg, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, server)
	if err != nil {
		return nil, cause(ctx, err)
	}
	defer func() { _ = conn.Close() }() // the exchange is over
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	c := &protocol.Conn{Conn: conn, UDPSize: largestDatagram}
	if err := c.WriteMsg(m); err != nil {
		return nil, cause(ctx, err)
	}
	for {
		got, err := c.ReadMsg()
		if err == nil && answers(got, m) {
			return got, nil
		}
		var broken net.Error
		if errors.As(err, &broken) || network == "tcp" && err != nil || ctx.Err() != nil {
			return nil, cause(ctx, err)
		}
		if network == "tcp" {
			return nil, errors.New("it answered another question")
		}
	}
}

// cause returns the cause if ctx has ended, else err. A connection notices its deadline with a clock of its own, which
// may be first.
func cause(ctx context.Context, err error) error {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// answers tells whether got is the answer to m. Some error responses lack the question.
func answers(got, m *protocol.Msg) bool {
	if !got.Response || got.Id != m.Id {
		return false
	}
	if len(got.Question) == 0 {
		return got.Rcode != protocol.RcodeSuccess && got.Rcode != protocol.RcodeNameError
	}
	asked, wanted := got.Question[0], m.Question[0]
	return len(got.Question) == 1 && asked.Qtype == wanted.Qtype && asked.Qclass == wanted.Qclass && strings.EqualFold(asked.Name, wanted.Name)
}

// read extracts the reply from an answer.
func read(m *protocol.Msg, q question) (reply, error) {
	if m.Rcode != protocol.RcodeSuccess && m.Rcode != protocol.RcodeNameError {
		return reply{}, &refusalError{"the answer is " + rcodeName(m.Rcode)}
	}
	if m.Rcode == protocol.RcodeSuccess && len(m.Answer) == 0 && !m.Authoritative && !m.RecursionAvailable && !hasSOA(m) {
		return reply{}, &refusalError{"it neither knows nor asks others"}
	}
	r := reply{ttl: time.Duration(1<<31-1) * time.Second}
	owner := q.name
	for range longestChain {
		next := r.collect(m.Answer, owner, q.kind)
		switch {
		case !r.absent():
			r.along(m.Extra)
			return r, nil
		case next == "" && m.Rcode == protocol.RcodeSuccess && owner != q.name && !hasSOA(m):
			r.alias = owner
			return r, nil
		case next == "":
			return reply{ttl: negativeTTL(m)}, nil
		}
		owner = next
	}
	return reply{}, &refusalError{errRound.Error()}
}

// collect takes the records of owner, or returns the name that it is an alias of.
func (r *reply) collect(answer []protocol.RR, owner string, want kind) (alias string) {
	counts := func(h protocol.RR_Header, k kind) bool {
		own := nameOf(h.Name) == owner && (k == want || k == kindCNAME)
		if own {
			r.ttl = min(r.ttl, ttlOf(h))
		}
		return own
	}
	for _, rr := range answer {
		switch rr := rr.(type) {
		case *protocol.A:
			if counts(rr.Hdr, kindA) {
				r.addrs = appendAddr(r.addrs, rr.A)
			}
		case *protocol.AAAA:
			if counts(rr.Hdr, kindAAAA) {
				r.addrs = appendAddr(r.addrs, rr.AAAA)
			}
		case *protocol.SRV:
			if counts(rr.Hdr, kindSRV) && nameOf(rr.Target) != "." { // which says that there is no such service
				r.records = append(r.records, record{nameOf(rr.Target), rr.Port, rr.Priority, rr.Weight})
			}
		case *protocol.CNAME:
			if counts(rr.Hdr, kindCNAME) {
				alias = nameOf(rr.Target)
			}
		}
	}
	return alias
}

// along takes the additional addresses for the targets of SRV records.
func (r *reply) along(extra []protocol.RR) {
	if len(r.records) == 0 {
		return
	}
	r.extra = map[string][]netip.Addr{}
	add := func(h protocol.RR_Header, ip net.IP) {
		name := nameOf(h.Name)
		r.extra[name] = appendAddr(r.extra[name], ip)
		r.ttl = min(r.ttl, ttlOf(h))
	}
	for _, rr := range extra {
		switch rr := rr.(type) {
		case *protocol.A:
			add(rr.Hdr, rr.A)
		case *protocol.AAAA:
			add(rr.Hdr, rr.AAAA)
		}
	}
}

// appendAddr leaves out invalid addresses. 0.0.0.0 would lead to this machine itself.
func appendAddr(list []netip.Addr, ip net.IP) []netip.Addr {
	a, ok := netip.AddrFromSlice(ip)
	if a = a.Unmap(); !ok || a.IsUnspecified() || a.IsMulticast() {
		return list
	}
	return append(list, a)
}

func nameOf(name string) string { return strings.ToLower(protocol.Fqdn(name)) }

// ttlOf is 0 where the topmost bit is set (RFC 2181 section 8).
func ttlOf(h protocol.RR_Header) time.Duration {
	if h.Ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(h.Ttl) * time.Second
}

func hasSOA(m *protocol.Msg) bool { return soaOf(m) != nil }

func soaOf(m *protocol.Msg) *protocol.SOA {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*protocol.SOA); ok {
			return soa
		}
	}
	return nil
}

// negativeTTL is how long caches may repeat that a name or its records are absent.
func negativeTTL(m *protocol.Msg) time.Duration {
	soa := soaOf(m)
	if soa == nil {
		return 0
	}
	return min(ttlOf(soa.Hdr), time.Duration(min(soa.Minttl, 1<<31-1))*time.Second)
}

func rcodeName(code int) string {
	if name, ok := protocol.RcodeToString[code]; ok {
		return name
	}
	return fmt.Sprintf("error %d", code)
}
