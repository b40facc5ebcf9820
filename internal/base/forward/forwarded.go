package forward

import (
	"errors"
	"strings"

	"github.com/weir-gateway/weir/internal/base/httpx"
)

// Element is one forwarded-element of RFC 7239 section 4: what one proxy saw. Parameters that the proxy did not send
// are "".
type Element struct {
	For   string // the node that made the request: an address, "unknown" or "_hidden"
	By    string
	Host  string
	Proto string
}

// maxElements bounds a line: no genuine chain of proxies is longer.
const maxElements = 64

var (
	errForwarded        = errors.New("the Forwarded field does not follow RFC 7239 section 4")
	errTooManyForwarded = errors.New("the Forwarded field has more than 64 elements")
)

// ParseForwarded reads one Forwarded field line. Unknown parameters are checked and skipped; a parameter that occurs
// twice in an element is an error.
func ParseForwarded(line string) ([]Element, error) {
	var elements []Element
	p := parser{rest: line}
	for {
		p.space()
		e, err := p.element()
		if err != nil {
			return nil, err
		}
		if len(elements) == maxElements {
			return nil, errTooManyForwarded
		}
		elements = append(elements, e)
		p.space()
		if p.rest == "" {
			return elements, nil
		}
		if !p.take(',') {
			return nil, errForwarded
		}
	}
}

// parser holds what is still to be read.
type parser struct{ rest string }

func (p *parser) take(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *parser) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

// element reads [ forwarded-pair ] *( ";" [ forwarded-pair ] ).
func (p *parser) element() (Element, error) {
	var e Element
	var seen [4]bool
	for {
		if name := p.token(); name != "" {
			if !p.take('=') {
				return e, errForwarded
			}
			value, ok := p.value()
			if !ok || !e.set(name, value, &seen) {
				return e, errForwarded
			}
		}
		if !p.take(';') {
			return e, nil
		}
	}
}

// set stores a known parameter. It returns false if the parameter was already set.
func (e *Element) set(name, value string, seen *[4]bool) bool {
	for i, known := range [...]struct {
		name string
		to   *string
	}{{"for", &e.For}, {"by", &e.By}, {"host", &e.Host}, {"proto", &e.Proto}} {
		if strings.EqualFold(name, known.name) {
			first := !seen[i]
			seen[i], *known.to = true, value
			return first
		}
	}
	return true
}

func (p *parser) token() string {
	n := 0
	for n < len(p.rest) && httpx.IsTokenByte(p.rest[n]) {
		n++
	}
	token := p.rest[:n]
	p.rest = p.rest[n:]
	return token
}

// value reads a token or a quoted-string (RFC 9110 section 5.6.4).
func (p *parser) value() (string, bool) {
	if !p.take('"') {
		token := p.token()
		return token, token != ""
	}
	var b strings.Builder
	for p.rest != "" {
		c := p.rest[0]
		p.rest = p.rest[1:]
		switch c {
		case '"':
			return b.String(), true
		case '\\':
			if p.rest == "" {
				return "", false
			}
			c = p.rest[0]
			p.rest = p.rest[1:]
		}
		if c < ' ' && c != '\t' || c == 0x7f {
			return "", false
		}
		b.WriteByte(c)
	}
	return "", false
}

// appendValue writes value as a token if it is one, and as a quoted-string otherwise. Control characters, which a
// quoted-string cannot hold, become '?'.
func appendValue(b []byte, value string) []byte {
	if httpx.IsToken(value) {
		return append(b, value...)
	}
	b = append(b, '"')
	for i := range len(value) {
		c := value[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' && c != '\t' || c == 0x7f:
			b = append(b, '?')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
