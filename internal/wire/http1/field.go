package http1

import (
	"bytes"
	"iter"
	"strings"

	"github.com/weir-gateway/weir/internal/base/field"
)

// ofRequests is how the heads of requests are read: Head.take judges these fields.
var ofRequests = manner{splitField, field.SetOf(field.Host, field.Proxy, field.HTTP2Settings, field.Expect, field.Upgrade, field.Connection,
	field.ContentLength, field.TransferEncoding)}

// take keeps what a field says about framing and host, and judges it. Other spellings of a name have no effect.
func (h *Head) take(known field.Known, value []byte) Reason {
	switch known {
	case field.Host:
		return h.host(value)
	case field.Proxy, field.HTTP2Settings: // CVE-2016-5385: CGI reads the former as HTTP_PROXY
		h.discarded++
	case field.Expect:
		if !equalFold(value, "100-continue") {
			return BadExpectation
		}
	case field.Upgrade:
		if offersH2C(value) {
			h.discarded++
		}
	case field.Connection:
		return checkConnection(value)
	case field.ContentLength:
		return h.contentLength(value)
	case field.TransferEncoding:
		return h.transferEncoding(value)
	default:
	}
	return OK
}

// splitField returns name and value of a field line (RFC 9112 section 5) of a request.
func splitField(line []byte) (name, value []byte, reason Reason) {
	name, value, odd, reason := cutField(line)
	if reason == OK && odd && isAlias(name) {
		return nil, nil, AliasFieldName
	}
	return name, value, reason
}

// splitResponseField is splitField for a response.
func splitResponseField(line []byte) (name, value []byte, reason Reason) {
	name, value, _, reason = cutField(line)
	return name, value, reason
}

// cutField returns name and value of any field line, and whether the name contains punctuation other than '-'.
func cutField(line []byte) (name, value []byte, odd bool, reason Reason) {
	if line[0] == ' ' || line[0] == '\t' {
		return nil, nil, false, LeadingBlank
	}
	colon := bytes.IndexByte(line, ':') //nolint:modernize // bytes.Cut takes as long again to find out that it looks for one byte
	if colon < 0 {
		return nil, nil, false, NoColon
	}
	name, value = line[:colon], trimOWS(line[colon+1:])
	of := uint16(0)
	for _, c := range name {
		class := classes[c]
		if class&tchar == 0 {
			return nil, nil, false, badName(c)
		}
		of |= class & nameOther
	}
	if len(name) == 0 {
		return nil, nil, false, BadFieldName
	}
	if !field.IsValue(value) {
		if bytes.IndexByte(value, '\r') >= 0 {
			return nil, nil, false, BareCR
		}
		return nil, nil, false, BadFieldValue
	}
	return name, value, of&nameOther != 0, OK
}

// badName returns the Reason for a byte that may not stand in a name.
func badName(c byte) Reason {
	if c == ' ' || c == '\t' {
		return BlankBeforeColon
	}
	return BadFieldName
}

// Fields yields name and value of every field line of a head or trailer section
// that was checked, in order. The slices point into b.
func Fields(b []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for len(b) > 0 {
			line, rest, found, _ := cutLine(b)
			if !found || len(line) == 0 {
				return
			}
			b = rest
			if name, value, named := bytes.Cut(line, []byte(":")); named && !yield(name, trimOWS(value)) {
				return
			}
		}
	}
}

func (h *Head) host(value []byte) Reason {
	h.hosts++
	if !validHost(value) {
		return BadHost
	}
	h.Host = value
	return OK
}

const maxLengthDigits = 18 // so that every length fits in an int64

func (h *Head) contentLength(value []byte) Reason {
	h.lengths++
	n, reason := parseLength(value)
	if n > 0 {
		h.Framing, h.Length = ByLength, n
	}
	return reason
}

// parseLength reads the value of a Content-Length.
func parseLength(value []byte) (int64, Reason) {
	if len(value) == 0 || len(value) > maxLengthDigits || value[0] == '0' && len(value) > 1 {
		return 0, BadLength // leading zeros are octal to some
	}
	n := int64(0)
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, BadLength
		}
		n = n*10 + int64(c-'0')
	}
	return n, OK
}

func (h *Head) transferEncoding(value []byte) Reason {
	h.codings++
	if !equalFold(value, "chunked") {
		return BadCoding
	}
	h.Framing, h.Length = ByChunks, 0
	return OK
}

// checkConnection refuses options that are not tokens, and those that would make the next hop drop what frames or
// routes the message.
func checkConnection(value []byte) Reason {
	if field.OptionOf(value) != field.OtherOptions {
		return OK
	}
	for element := range bytes.SplitSeq(value, []byte(",")) {
		option := trimOWS(element)
		if len(option) == 0 {
			continue // RFC 9110 section 5.6.1.2: empty elements are ignored
		}
		if !isToken(option) {
			return BadConnection
		}
		if equalFold(option, "host") || equalFold(option, "content-length") || equalFold(option, "transfer-encoding") {
			return BadConnection
		}
	}
	return OK
}

// offersH2C reports whether an Upgrade field offers HTTP/2 without TLS, which a gateway must not relay (RFC 9113
// section 3.1 took it out of the protocol).
func offersH2C(value []byte) bool {
	for element := range bytes.SplitSeq(value, []byte(",")) {
		if equalFold(trimOWS(element), "h2c") {
			return true
		}
	}
	return false
}

// managed are the fields that frame or forward a message, or say whose it is.
// Some backends read every punctuation mark in a name as '-' or '_', so any
// other spelling of these is refused.
var managed = map[string]bool{
	"connection": true, "content-encoding": true, "content-length": true, "content-type": true, "expect": true,
	"http2-settings": true, "keep-alive": true, "proxy-authorization": true, "proxy-connection": true,
	"transfer-encoding": true,
	"cf-connecting-ip":  true, "fastly-client-ip": true, "true-client-ip": true, "x-client-ip": true,
	"x-cluster-client-ip": true, "x-real-ip": true, "x-request-id": true,
	"x-http-method-override": true, "x-http-method": true, "x-method-override": true, "x-original-host": true, "x-original-url": true, "x-rewrite-url": true,
	"x-original-method": true, "x-original-uri": true,
}

// maxManaged is the longest name of the managed fields that is looked up.
const maxManaged = 32

// isAlias reports whether name, with every punctuation mark read as '-', is a managed field or of the X-Forwarded
// family.
func isAlias(name []byte) bool {
	var folded [maxManaged]byte
	n := 0
	for _, c := range name {
		if n == len(folded) {
			break
		}
		if c = lower(c); classes[c]&nameOther != 0 {
			c = '-'
		}
		folded[n] = c
		n++
	}
	text := folded[:n]
	return bytes.HasPrefix(text, []byte("x-forwarded")) || len(name) <= maxManaged && managed[string(text)]
}

// IsAlias reports whether name is another spelling of a field that the gateway manages: the same except for punctuation
// in place of '-'. It is for HTTP/2 and HTTP/3, whose heads do not pass a Sieve.
func IsAlias(name string) bool {
	return strings.ContainsAny(name, "!#$%&'*+.^_`|~") && isAlias([]byte(name))
}
