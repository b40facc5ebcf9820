package accesslog

import (
	"strconv"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// common is the Common Log Format: host ident user [time] "request" status bytes.
// The request line has the normalised path without its query.
type common struct{ combined bool }

const commonTime = "[02/Jan/2006:15:04:05 -0700]"

func (c common) line(b []byte, e *event) []byte {
	if ip := e.x.Client.IP; ip.IsValid() {
		b = ip.AppendTo(b)
	} else {
		b = append(b, '-')
	}
	b = append(b, " - "...)
	if u := user(e); u.kind == aText {
		b = appendBare(b, u.text)
	} else {
		b = append(b, '-')
	}
	b = append(b, ' ')
	b = e.x.Start.AppendFormat(b, commonTime)
	b = append(b, ` "`...)
	b = appendApache(b, e.r.Method)
	b = append(b, ' ')
	if e.x.Path == "" {
		b = append(b, '-')
	}
	b = appendApache(b, e.x.Path)
	b = append(b, ' ')
	b = appendApache(b, e.r.Proto)
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(e.outcome.Status), 10)
	b = append(b, ' ')
	if e.outcome.Written > 0 {
		b = strconv.AppendInt(b, e.outcome.Written, 10)
	} else {
		b = append(b, '-')
	}
	if c.combined {
		b = appendQuoted(b, referer(e.r))
		b = appendQuoted(b, exchange.RequestHead(e.r).Get("User-Agent"))
	}
	return append(b, '\n')
}

func appendQuoted(b []byte, s string) []byte {
	b = append(b, ` "`...)
	if s == "" {
		b = append(b, '-')
	}
	return append(appendApache(b, s), '"')
}

// appendBare writes a text that is not quoted, in which blanks and brackets would begin other fields.
func appendBare(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '[' || c == ']' || c >= 0x7f || c == '"' || c == '\\' {
			b = appendByte(b, c)
		} else {
			b = append(b, c)
		}
	}
	return b
}

// appendApache escapes as Apache does: quotes and backslashes by a backslash, everything else that is not printable
// ASCII as \xHH.
func appendApache(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c >= 0x7f:
			b = appendByte(b, c)
		default:
			b = append(b, c)
		}
	}
	return b
}

func appendByte(b []byte, c byte) []byte {
	return append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&0xf])
}
