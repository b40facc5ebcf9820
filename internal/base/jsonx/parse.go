package jsonx

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// large is the largest number of elements or members for which a list or object has no index.
const large = 16

// parser builds a document. It embeds the document by value, and Parse copies that at the end, so that what grows
// meanwhile stays on the stack of Parse.
type parser struct {
	document

	at     int
	depth  int // how much deeper it may go
	unique bool
	names  []named // for checkNames, reused
}

// named is a member: its name, decoded once, and the item of the name.
type named struct {
	name string
	at   uint32
}

func (p *parser) fail(text string) error { return &SyntaxError{p.at, text} }

// peek returns the next byte, 0 at the end (a NUL is not part of any JSON text).
func (p *parser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *parser) blanks() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// whole reads the one value that the text must consist of.
func (p *parser) whole() error {
	if err := p.value(); err != nil {
		return err
	}
	p.blanks()
	if p.at < len(p.text) {
		return p.fail("there is more after the value")
	}
	return nil
}

// open appends an item that starts here; close ends it.
func (p *parser) open(kind Kind) int {
	p.items = append(p.items, item{start: uint32(p.at), kind: kind})
	return len(p.items) - 1
}

func (p *parser) close(i int) {
	it := &p.items[i]
	it.end = uint32(p.at)
	it.next = uint32(len(p.items))
}

func (p *parser) value() error {
	p.blanks()
	switch c := p.peek(); {
	case c == '{':
		return p.object()
	case c == '[':
		return p.list()
	case c == '"':
		return p.str()
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	case p.at >= len(p.text):
		return p.fail("the text ends where a value is expected")
	default:
		return p.word()
	}
}

func (p *parser) word() error {
	for _, w := range [...]struct {
		text string
		kind Kind
	}{{"true", Bool}, {"false", Bool}, {"null", Null}} {
		if strings.HasPrefix(p.text[p.at:], w.text) {
			i := p.open(w.kind)
			p.at += len(w.text)
			p.close(i)
			return nil
		}
	}
	return p.fail("this is no value")
}

func (p *parser) list() error {
	i := len(p.items)
	if err := p.container(List, ']'); err != nil {
		return err
	}
	if size := p.items[i].size; size > large {
		elements := make([]uint32, size)
		at := uint32(i) + 1
		for n := range elements {
			elements[n], at = at, p.items[at].next
		}
		p.setIndex(i, elements)
	}
	return nil
}

func (p *parser) setIndex(i int, index []uint32) {
	if p.index == nil {
		p.index = make(map[int][]uint32)
	}
	p.index[i] = index
}

func (p *parser) object() error {
	i := len(p.items)
	if err := p.container(Object, '}'); err != nil {
		return err
	}
	return p.checkNames(i)
}

func (p *parser) member() error {
	p.blanks()
	if p.peek() != '"' {
		return p.fail("a member's name is expected, in double quotes")
	}
	if err := p.str(); err != nil {
		return err
	}
	p.blanks()
	if p.peek() != ':' {
		return p.fail("a ':' is expected after a member's name")
	}
	p.at++
	return p.value()
}

// container reads what a list and an object have in common: brackets, commas, the count.
func (p *parser) container(kind Kind, end byte) error {
	if p.depth == 0 {
		return p.fail("the nesting is too deep")
	}
	p.depth--
	i := p.open(kind)
	p.at++
	p.blanks()
	if p.peek() == end {
		p.end(i)
		return nil
	}
	for {
		if err := p.element(kind); err != nil {
			return err
		}
		p.items[i].size++
		p.blanks()
		switch p.peek() {
		case ',':
			p.at++
		case end:
			p.end(i)
			return nil
		default:
			return p.fail("a ',' or '" + string(end) + "' is expected")
		}
	}
}

// end reads the bracket that ends the container at item i.
func (p *parser) end(i int) {
	p.at++
	p.close(i)
	p.depth++
}

// element reads one element or member of a container.
func (p *parser) element(of Kind) error {
	if of == Object {
		return p.member()
	}
	return p.value()
}

// checkNames looks for equal names in the object at item i and, if it is large, builds its index.
func (p *parser) checkNames(i int) error {
	size := p.items[i].size
	if size <= large && (!p.unique || p.plainlyUnique(i)) {
		return nil
	}
	names := slices.Grow(p.names[:0], int(size))[:size]
	p.names = names
	at := uint32(i) + 1
	for n := range names {
		names[n] = named{p.unquoted(int(at)), at}
		at = p.items[at+1].next
	}
	slices.SortFunc(names, func(a, b named) int {
		return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(a.at, b.at))
	})
	for n := 1; n < len(names) && p.unique; n++ {
		if names[n-1].name == names[n].name {
			p.at = int(p.items[names[n].at].start)
			return p.fail("the object has this name twice")
		}
	}
	if size > large {
		sorted := make([]uint32, size)
		for n, e := range names {
			sorted[n] = e.at
		}
		p.setIndex(i, sorted)
	}
	return nil
}

// plainlyUnique reports whether the names of a small object need no decoding and are all different.
func (p *parser) plainlyUnique(i int) bool {
	var seen [large]string
	at := uint32(i) + 1
	for n := range p.items[i].size {
		it := &p.items[at]
		name := p.text[it.start:it.end]
		if it.escaped || slices.Contains(seen[:n], name) {
			return false
		}
		seen[n] = name
		at = p.items[at+1].next
	}
	return true
}

// number reads RFC 8259 section 6: [-] int [frac] [exp].
func (p *parser) number() error {
	i := p.open(Number)
	if p.peek() == '-' {
		p.at++
	}
	switch c := p.peek(); {
	case c == '0':
		p.at++
	case c >= '1' && c <= '9':
		p.digits()
	default:
		return p.fail("a digit is expected")
	}
	if p.peek() == '.' {
		p.at++
		if !p.digits() {
			return p.fail("a digit is expected after the '.'")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.at++
		if c := p.peek(); c == '+' || c == '-' {
			p.at++
		}
		if !p.digits() {
			return p.fail("a digit is expected in the exponent")
		}
	}
	p.close(i)
	return nil
}

// digits skips digits and reports whether there were any.
func (p *parser) digits() bool {
	start := p.at
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.at++
	}
	return p.at > start
}

// str reads a string and checks escapes and UTF-8.
func (p *parser) str() error {
	i := p.open(String)
	start := p.at
	p.at++
	var all byte // all bytes, ORed
	for text := p.text; p.at < len(text); {
		c := text[p.at]
		if c >= ' ' && c != '"' && c != '\\' {
			all |= c
			p.at++
			continue
		}
		switch c {
		case '"':
			p.at++
			if all >= utf8.RuneSelf && !utf8.ValidString(text[start:p.at]) {
				p.at = start
				return p.fail("this string is not valid UTF-8")
			}
			p.close(i)
			return nil
		case '\\':
			p.items[i].escaped = true
			if err := p.escape(); err != nil {
				return err
			}
		default:
			return p.fail("a control character in a string has to be escaped")
		}
	}
	return p.fail("the text ends within a string")
}

func (p *parser) escape() error {
	rest := p.text[p.at:]
	if n := escapeLength(rest); n > 0 {
		p.at += n
		return nil
	}
	if strings.HasPrefix(rest, `\u`) {
		return p.fail(`\u is followed by four hexadecimal digits`)
	}
	return p.fail("this escape is unknown")
}

// escapeLength is the length of the escape at the beginning of s, 0 if that is not an escape.
func escapeLength(s string) int {
	switch {
	case len(s) > 1 && strings.IndexByte(`"\/bfnrt`, s[1]) >= 0:
		return 2
	case strings.HasPrefix(s, `\u`):
		if _, ok := hex4(s[2:]); ok {
			return 6
		}
	}
	return 0
}

// hex4 reads four hexadecimal digits.
func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for i := range 4 {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescape decodes a string that was checked. An unpaired surrogate becomes U+FFFD.
func unescape(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		c := s[i+1]
		s = s[i+2:]
		if c != 'u' {
			b.WriteByte(unescapedByte(c))
			continue
		}
		r, _ := hex4(s) // it was checked by escape
		s = s[4:]
		if utf16.IsSurrogate(r) {
			r, s = pair(r, s)
		}
		b.WriteRune(r)
	}
}

func unescapedByte(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default:
		return c
	}
}

// pair combines a surrogate with the one at the beginning of rest, if there is one.
func pair(first rune, rest string) (rune, string) {
	if strings.HasPrefix(rest, `\u`) {
		if second, ok := hex4(rest[2:]); ok {
			if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
				return r, rest[6:]
			}
		}
	}
	return utf8.RuneError, rest
}
