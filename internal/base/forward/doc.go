// Package forward is what a gateway does to the header fields of messages that
// it passes on: one implementation of hop-by-hop stripping (RFC 9110 section
// 7.6.1), of believing or refusing what proxies say of the client, and of what
// Weir itself tells a backend.
//
// The order is what makes it safe. Receive runs once, before any guard: it
// resolves the client and takes away everything that only counted on the
// connection or that this peer may not say. So no `Connection: X-User` can
// later delete a field that a guard has set, and no guard, expression or backend
// ever sees a spoofed one. Request runs last: it copies what may go on and
// then sets Weir's own fields.
//
// Names are compared as the most lenient backend would: without regard to
// case, and with '_' and '.' read as '-' (CGI, WSGI and PHP fold them), so that
// `X_Forwarded_For` is no way around a rule for X-Forwarded-For.
package forward
