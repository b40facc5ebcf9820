package transform

import (
	"errors"
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// Path leads from a body's outermost value to a member:
//
//	customer.name      a member of a member
//	items.price        that member of each item: a path goes through a list to all its elements
//	prices.*           every member of an object
//	**.password        every member of this name, at any depth
//	['a.b'].c          a quoted name, with any characters
type Path struct {
	Text string
	Pos  doc.Pos

	segments []segment
	anywhere bool // it begins with **
}

// segment is a name, or matches every name.
type segment struct {
	name  string
	every bool
}

// DecodeDoc reads a path.
func (p *Path) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	p.Pos = n.Pos
	if doc.Decode(n, &p.Text, ps) {
		p.read(ps)
	}
}

// read parses the text.
func (p *Path) read(ps *doc.Problems) {
	if err := p.parse(); err != nil {
		ps.Add(doc.Problem{Pos: p.Pos, What: fmt.Sprintf("%q is no path: %v", p.Text, err), Fix: "write names with dots between them, as customer.name; a name with a dot in it stands in brackets and quotes, as ['a.b']"})
	}
}

// EncodeDoc writes the path as it is read.
func (p *Path) EncodeDoc() *doc.Node {
	return &doc.Node{Kind: doc.Scalar, Pos: p.Pos, Value: p.Text}
}

// DocSchema implements doc.SchemaWriter.
func (*Path) DocSchema() *doc.Schema { return doc.TextSchema("names with dots between them") }

// parse sets the segments from the text.
func (p *Path) parse() error {
	rest := p.Text
	if after, ok := strings.CutPrefix(rest, "**."); ok {
		p.anywhere, rest = true, after
	}
	p.segments = nil
	for {
		one, after, err := parseSegment(rest)
		if err != nil {
			return err
		}
		p.segments = append(p.segments, one)
		if len(p.segments) > mostSegments {
			return fmt.Errorf("it has more than %d names", mostSegments)
		}
		if after == "" {
			return nil
		}
		dotted, ok := strings.CutPrefix(after, ".")
		if !ok && after[0] != '[' {
			return fmt.Errorf("a dot is missing before %q", after)
		}
		rest = after
		if ok {
			rest = dotted
		}
	}
}

// mostSegments is more than any real path has.
const mostSegments = 32

// parseSegment reads the first segment of text, and returns the rest.
func parseSegment(text string) (one segment, rest string, err error) {
	if strings.HasPrefix(text, "['") || strings.HasPrefix(text, `["`) {
		name, after, ok := strings.Cut(text[2:], text[1:2]+"]")
		if !ok {
			return segment{}, "", errors.New("a [ without a ] behind its quotes")
		}
		return segment{name: name}, after, nil
	}
	end := strings.IndexAny(text, ".[")
	if end < 0 {
		end = len(text)
	}
	name := text[:end]
	switch {
	case name == "":
		return segment{}, "", errors.New("a name is missing")
	case name == "*":
		return segment{every: true}, text[end:], nil
	case strings.ContainsAny(name, "*\"'] "):
		return segment{}, "", fmt.Errorf("%q is no name", name)
	}
	return segment{name: name}, text[end:], nil
}

// plain tells whether the path consists only of names.
func (p *Path) plain() bool {
	for _, s := range p.segments {
		if s.every {
			return false
		}
	}
	return !p.anywhere
}

// names returns the names of a plain path.
func (p *Path) names() []string {
	list := make([]string, len(p.segments))
	for i, s := range p.segments {
		list[i] = s.name
	}
	return list
}
