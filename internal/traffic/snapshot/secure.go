package snapshot

import (
	"slices"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/wire/secure"
)

// Secure reports whether the socket of that name speaks TLS.
func (s *Snapshot) Secure(socket string) bool {
	return slices.ContainsFunc(s.Listeners, func(l *Listener) bool { return l.Socket == socket && l.Policy != nil })
}

// Policy returns how a handshake for a server name goes on, on the socket that a handler was made for. It is the policy
// of the listener that serves requests for this name, or nil if there is none.
func (s *Snapshot) Policy(handler, serverName string) *secure.Policy {
	if l := s.listener(s.Socket(handler), serverName); l != nil {
		return l.Policy
	}
	return nil
}

// bound is what was agreed on when a connection was made, and holds for all its requests.
type bound struct {
	tls        bool
	serverName string // in lower case; "" if the client sent none
	terms      string // see secure.Terms
}

// misdirected returns a fault if a request came on a connection that was not made for its listener, which has a policy.
// A connection belongs to the listener that its server name chose, and to what that listener asked of the client then.
// A client must not bypass what another listener would have asked by naming that listener's host later (RFC 9110
// section 7.4, RFC 6066 section 11.1), nor by using a connection from before the socket spoke TLS.
func (s *Snapshot) misdirected(l *Listener, on bound) *fault.Fault {
	const changed = "What is asked of clients has changed since the connection was made; make a new one."
	end := fault.WithField("Connection", "close")
	switch terms := l.Policy.Terms(); {
	case !on.tls:
		return fault.Misdirected.New(changed, end, fault.Internal("no TLS, listener %s", l.Name))
	case s.listener(l.Socket, on.serverName) != l:
		return fault.Misdirected.New("The connection was made for another host; make one for this host.",
			fault.Internal("server name %q, listener %s", on.serverName, l.Name))
	case terms != "" && terms != on.terms:
		return fault.Misdirected.New(changed, end, fault.Internal("listener %s", l.Name))
	default:
		return nil
	}
}
