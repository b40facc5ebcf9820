package attack_test

import (
	"strings"

	"github.com/weir-gateway/weir/internal/auth/jwt/jwttest"
)

// overrides returns header fields from which frameworks take another method than the request's.
func overrides() []string {
	return []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "x_http_method_override"}
}

// methods try to change things without a credential. Reading is open.
func methods() attacks {
	list := attacks{}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get", "Get", "GETT", "DELETE\t", "CONNECT", "PURGE", "QUERY", "M-SEARCH", "GET\x00"} {
		list[method] = request(method + " /things/1")
	}
	for _, field := range overrides() {
		list[field+" of DELETE"] = get("/things/1", field+": DELETE")
		list[field+" of delete"] = get("/things/1", field+": delete")
		list[field+" of GET"] = request("DELETE /things/1", field+": GET")
		list[field+" twice"] = request("GET /things/1", field+": GET", field+": DELETE")
		list[field+" over HTTP/2"] = h2("GET", "/things/1", strings.ToLower(field), "DELETE")
		list[field+" of two"] = get("/things/1", field+": GET, DELETE")
		list[field+" on the guarded door"] = request("POST /admin/x", field+": OPTIONS")
	}
	for _, query := range []string{
		"_method=DELETE", "_method=delete", "a=1&_method=PUT", "%5Fmethod=DELETE", "_%6dethod=%44ELETE", "a;_method=DELETE", "_method=POST&_method=DELETE",
		".method=DELETE", "%20_method=DELETE", "+.method=DELETE", "%5Bmethod=DELETE", "_method%00x=DELETE", "_method%00%zz=DELETE", "_method=DELETE%0a", "_method=PURGE",
	} {
		list["a form sent to ?"+query] = request("POST /forms/1?"+query, "Content-Length: 0")
	}
	return list
}

// upgrades ask a guarded route for another protocol, to send anything behind the guard afterwards.
func upgrades() attacks {
	ws := []string{"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	line := func(text string, fields ...string) []byte {
		raw := text + " HTTP/1.1\r\nHost: shop.dev\r\n"
		for _, f := range fields {
			raw += f + "\r\n"
		}
		return []byte(raw + "\r\n")
	}
	list := attacks{
		"a WebSocket":                   line("GET /admin/x", ws...),
		"a WebSocket with a bad token":  line("GET /admin/x", append(ws, "Authorization: Bearer x.y.z")...),
		"a WebSocket by POST":           line("POST /admin/x", append(ws, "Content-Length: 0")...),
		"a token as a subprotocol":      line("GET /admin/x", append(ws, "Sec-WebSocket-Protocol: bearer, "+jwttest.Good("p256", "ES256"))...),
		"a WebSocket on a changed path": line("GET /public/../admin/x", ws...),
		"h2c":                           line("GET /admin/x", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"),
		"h2c and the preface":           append(line("GET /admin/x", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"), h2("GET", "/admin/y")...),
		"TLS":                           line("OPTIONS /admin/x", "Upgrade: TLS/1.0", "Connection: Upgrade"),
		"a CONNECT":                     line("CONNECT shop.dev:80"),
		"a CONNECT to a path":           line("CONNECT /admin/x"),
		"a preface with a path":         []byte("PRI /admin/x HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		"100-continue":                  line("POST /admin/x", "Expect: 100-continue", "Content-Length: 5"),
		"another expectation":           line("GET /admin/x", "Expect: 200-ok"),
		"HTTP/1.0":                      []byte("GET /admin/x HTTP/1.0\r\n\r\n"),
		"HTTP/0.9":                      []byte("GET /admin/x\r\n\r\n"),
		"HTTP/3.0":                      []byte("GET /admin/x HTTP/3.0\r\nHost: shop.dev\r\n\r\n"),
	}
	return list
}

// http2Tricks send in HTTP/2 what cannot be expressed in HTTP/1.1.
func http2Tricks() attacks {
	const m, s, a, p = ":method", ":scheme", ":authority", ":path"
	list := attacks{
		"nothing":                    h2("GET", "/admin/x"),
		"two paths":                  frames(m, "GET", s, "http", a, "shop.dev", p, "/public/x", p, "/admin/x"),
		"no path":                    frames(m, "GET", s, "http", a, "shop.dev"),
		"no method":                  frames(s, "http", a, "shop.dev", p, "/admin/x"),
		"two methods":                frames(m, "GET", m, "DELETE", s, "http", a, "shop.dev", p, "/things/1"),
		"two authorities":            frames(m, "GET", s, "http", a, "shop.dev", a, "staff.shop.dev", p, "/public/x"),
		"authority and host differ":  frames(m, "GET", s, "http", a, "shop.dev", p, "/public/x", "host", "staff.shop.dev"),
		"host alone":                 frames(m, "GET", s, "http", p, "/public/x", "host", "staff.shop.dev"),
		"a user in the authority":    frames(m, "GET", s, "http", a, "shop.dev@staff.shop.dev", p, "/public/x"),
		"a pseudo-field afterwards":  frames(m, "GET", s, "http", a, "shop.dev", "x", "1", p, "/admin/x"),
		"an unknown pseudo-field":    frames(m, "GET", s, "http", a, "shop.dev", p, "/public/x", ":route", "/admin/x"),
		"a WebSocket by CONNECT":     frames(m, "CONNECT", ":protocol", "websocket", s, "http", a, "shop.dev", p, "/admin/x"),
		"a CONNECT":                  frames(m, "CONNECT", a, "shop.dev:80"),
		"connection":                 h2("GET", "/public/x", "connection", "authorization"),
		"transfer-encoding":          h2("GET", "/public/x", "transfer-encoding", "chunked"),
		"upgrade":                    h2("GET", "/public/x", "upgrade", "websocket"),
		"capitals in a name":         h2("GET", "/public/x", "X-User", "admin"),
		"a line break in a value":    h2("GET", "/public/x", "x", "1\r\nx-user: admin"),
		"a line break in a name":     h2("GET", "/public/x", "x: 1\r\nx-user", "admin"),
		"a line break in the path":   h2("GET", "/public/x HTTP/1.1\r\nx-user: admin\r\n", "x", "1"),
		"a line break in the method": h2("GET /admin/x HTTP/1.1\r\nx:", "/public/x"),
		"a colon in a name":          h2("GET", "/public/x", "x-user:", "admin"),
		"a blank name":               h2("GET", "/public/x", "", "admin"),
		"two tokens":                 h2("GET", "/admin/x", "authorization", "Bearer "+jwttest.Good("p256", "ES256"), "authorization", "Bearer x"),
		"a length that lies":         h2("GET", "/public/x", "content-length", "10"),
	}
	return list
}
