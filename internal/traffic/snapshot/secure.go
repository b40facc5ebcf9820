package snapshot

import (
	"net/http"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/wire/secure"
)

// Secure tells whether a socket speaks TLS, by its name.
func (s *Snapshot) Secure(socket string) bool {
	return slices.ContainsFunc(s.Listeners, func(l *Listener) bool { return l.Socket == socket && l.Policy != nil })
}

// Policy gives how a handshake for a server name goes on, on the socket that a
// handler was made for: that of the listener whose requests will be for this
// name, nil where there is none.
func (s *Snapshot) Policy(handler, serverName string) *secure.Policy {
	if l := s.listener(s.Socket(handler), serverName); l != nil {
		return l.Policy
	}
	return nil
}

// misdirected tells that a request came on a connection that was not made for
// its listener. A connection belongs to the listener that its server name chose,
// and to what that asked of the client then; what another one would have asked
// is not fallen below by naming its host later (RFC 9110 section 7.4, RFC 6066
// section 11.1). bound are the terms of the connection.
func (s *Snapshot) misdirected(l *Listener, r *http.Request, bound string) *fault.Fault {
	if l.Policy == nil || r.TLS == nil {
		return nil
	}
	if s.listener(l.Socket, strings.ToLower(r.TLS.ServerName)) != l {
		return fault.Misdirected.New("The connection was made for another host; make one for this host.",
			fault.Internal("server name %q, listener %s", r.TLS.ServerName, l.Name))
	}
	if terms := l.Policy.Terms(); terms != "" && terms != bound {
		return fault.Misdirected.New("What is asked of clients has changed since the connection was made; make a new one.",
			fault.WithField("Connection", "close"), fault.Internal("listener %s", l.Name))
	}
	return nil
}
