// Package forward is what a gateway does to the header fields of the messages that it passes on. It has the one
// implementation of stripping hop-by-hop fields (RFC 9110 section 7.6.1), of deciding whether to believe what proxies
// say about the client, and of what Weir itself tells a backend.
//
// The order makes it safe. Receive runs once, before any guard: it resolves the client and removes everything that only
// applied to the connection or that this peer is not allowed to say. So no `Connection: X-User` can later delete a
// field that a guard has set, and no guard, expression or backend ever sees a spoofed one. Request runs last: it copies
// what may go on and then sets Weir's own fields.
//
// Names are compared as the most lenient backend would compare them: case-insensitively, and with '_' and '.' read as
// '-' (CGI, WSGI and PHP fold them). So `X_Forwarded_For` cannot bypass a rule for X-Forwarded-For.
package forward
