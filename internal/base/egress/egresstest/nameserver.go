// Package egresstest provides a DNS server for tests, which gives the same configured answer for every name.
package egresstest

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// NameServer answers every question over UDP until its test ends. Its methods may be called concurrently.
type NameServer struct {
	Address string // host:port
	asked   atomic.Int64
	says    atomic.Pointer[[]netip.Addr]
}

// Serve starts a NameServer that answers with these addresses for every name.
func Serve(tb testing.TB, says ...string) *NameServer {
	tb.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &NameServer{Address: conn.LocalAddr().String()}
	s.Say(says...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve(conn)
	}()
	tb.Cleanup(func() { _ = conn.Close(); <-done })
	return s
}

// Say changes the addresses for later answers. It panics if one is not valid.
func (s *NameServer) Say(addresses ...string) {
	list := make([]netip.Addr, len(addresses))
	for i, text := range addresses {
		list[i] = netip.MustParseAddr(text)
	}
	s.says.Store(&list)
}

// Asked returns the number of answered questions.
func (s *NameServer) Asked() int64 { return s.asked.Load() }

func (s *NameServer) serve(conn net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return // the connection was closed
		}
		if answer, err := s.answer(buf[:n]); err == nil {
			s.asked.Add(1)
			_, _ = conn.WriteTo(answer, from) // an error does not matter: the client may ask again
		}
	}
}

func (s *NameServer) answer(question []byte) ([]byte, error) {
	var p dnsmessage.Parser
	header, err := p.Start(question)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	header.Response, header.Authoritative, header.RecursionAvailable = true, true, true
	b := dnsmessage.NewBuilder(nil, header)
	if err := errors.Join(b.StartQuestions(), b.Question(q), b.StartAnswers()); err != nil {
		return nil, err
	}
	h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}
	for _, ip := range *s.says.Load() {
		switch {
		case ip.Is4() && q.Type == dnsmessage.TypeA:
			err = b.AResource(h, dnsmessage.AResource{A: ip.As4()})
		case ip.Is6() && q.Type == dnsmessage.TypeAAAA:
			err = b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: ip.As16()})
		}
		if err != nil {
			return nil, err
		}
	}
	return b.Finish()
}
