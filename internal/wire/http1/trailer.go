package http1

import "bytes"

// maxTrailer bounds a trailer section: as much as net/http accepts in its buffer.
const maxTrailer = 4 << 10

// trailerEnd returns the length of the trailer section that b begins with, including its empty line, or 0 while it is
// not whole. A line that ends with LF alone is refused as soon as it is seen.
func trailerEnd(b []byte) (n int, reason Reason) {
	for {
		i := bytes.IndexByte(b[n:], '\n')
		if i < 0 {
			return 0, OK
		}
		if i == 0 || b[n+i-1] != '\r' {
			return 0, BareLF
		}
		n += i + 1
		if i == 1 {
			return n, OK
		}
	}
}

// CheckTrailer checks a whole trailer section, including its empty line. Field lines are as in a head, but none may
// frame, route, authenticate or describe the message (RFC 9110 section 6.5.1), because some backends merge trailers
// into the head.
func CheckTrailer(b []byte, limits Limits) Reason {
	return checkSection(b, limits, func(line []byte) Reason {
		name, _, reason := splitField(line)
		if reason == OK && !mayTrail(name) {
			return BadTrailer
		}
		return reason
	})
}

// checkResponseTrailer checks the lines of the trailer section of a response. Which fields a client may be told is
// decided elsewhere.
func checkResponseTrailer(b []byte, limits Limits) Reason {
	return checkSection(b, limits, func(line []byte) Reason {
		_, _, _, reason := cutField(line)
		return reason
	})
}

func checkSection(b []byte, limits Limits, check func(line []byte) Reason) Reason {
	for fields := 0; ; fields++ {
		line, rest, found, reason := cutLine(b)
		switch {
		case reason != OK:
			return reason
		case !found:
			return BareLF
		case len(line) == 0:
			return OK
		}
		if fields >= limits.HeadFields {
			return TrailerTooLarge
		}
		if reason := check(line); reason != OK {
			return reason
		}
		b = rest
	}
}

// headOnly are the fields that change how a message is framed, routed, authorized or read, and so may never stand in a
// trailer.
var headOnly = map[string]bool{
	"authorization": true, "cache-control": true, "connection": true, "content-encoding": true,
	"content-length": true, "content-range": true, "content-type": true, "cookie": true, "expect": true,
	"forwarded": true, "host": true, "keep-alive": true, "max-forwards": true, "pragma": true, "proxy": true,
	"proxy-authorization": true, "proxy-connection": true, "range": true, "set-cookie": true, "te": true,
	"trailer": true, "transfer-encoding": true, "upgrade": true, "via": true, "x-real-ip": true, "x-request-id": true,
}

func mayTrail(name []byte) bool {
	if len(name) > maxManaged {
		return true
	}
	var folded [maxManaged]byte
	for i, c := range name {
		folded[i] = lower(c)
	}
	text := folded[:len(name)]
	return !headOnly[string(text)] && !bytes.HasPrefix(text, []byte("x-forwarded-")) && !bytes.HasPrefix(text, []byte("if-"))
}
