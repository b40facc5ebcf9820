package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// captures are the names that every match of a route captures.
type captures struct {
	names   []string // one segment or label each
	rest    bool     // the path ends in ** or {name...}
	name    string   // of the rest, "" for **
	unknown bool     // matches that capture nothing by name (exact, prefix) are among them
	path    string   // the first pattern
	sent    bool     // the route itself says the path to send
}

// below tells whether every path begins with the literal segments of prefix.
func (c captures) below(prefix string) bool {
	own, err := ParsePattern(c.path)
	if c.unknown || err != nil {
		return true
	}
	want, err := ParsePattern(strings.TrimSuffix(prefix, "/"))
	if err != nil || len(want.Segments) > len(own.Segments) {
		return prefix == "/"
	}
	return slices.Equal(want.Segments, own.Segments[:len(want.Segments)])
}

// capturesOf reads what a route's hosts and matches capture; patterns that
// cannot be parsed are reported elsewhere and capture everything.
func capturesOf(hosts []string, matches []Match) captures {
	var c captures
	for i, m := range matches {
		own := pathCaptures(m.Path)
		if i == 0 {
			c = own
			continue
		}
		c.unknown = c.unknown || own.unknown
		c.names = slices.DeleteFunc(c.names, func(n string) bool { return !slices.Contains(own.names, n) })
		c.rest = c.rest && own.rest
	}
	for i, h := range hosts {
		host, err := ParseHost(h)
		if err == nil && host.Param != "" && everyHostCaptures(hosts, host.Param) && i == 0 {
			c.names = append(c.names, host.Param)
		}
	}
	return c
}

func pathCaptures(m PathMatch) captures {
	p, err := ParsePattern(m.Pattern)
	if err != nil {
		return captures{unknown: true}
	}
	rest, hasRest := p.Rest()
	names := p.Names()
	if rest.Name != "" {
		names = names[:len(names)-1]
	}
	return captures{names: names, rest: hasRest, name: rest.Name, path: m.Pattern}
}

func everyHostCaptures(hosts []string, name string) bool {
	return !slices.ContainsFunc(hosts, func(h string) bool {
		host, err := ParseHost(h)
		return err == nil && host.Param != name
	})
}

// checkTemplate holds the rules of a rewrite's path n on a route that captures c.
func checkTemplate(n *doc.Node, c captures, ps *doc.Problems) bool {
	text := n.Value
	if !strings.HasPrefix(text, "/") {
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("the path %q to send does not begin with a slash", text), Fix: fmt.Sprintf("write %q", "/"+text)})
		return false
	}
	keepsRest := false
	offset := 0
	for part := range strings.SplitSeq(text, "/") {
		rest, ok := checkTemplateSegment(n, part, offset, offset+len(part) == len(text), c, ps)
		if !ok {
			return false
		}
		keepsRest = keepsRest || rest
		offset += len(part) + 1
	}
	if c.rest && !keepsRest && !c.unknown {
		whole := "**"
		if c.name != "" {
			whole = "{" + c.name + "...}"
		}
		ps.Add(doc.Problem{
			Pos: n.Pos, What: fmt.Sprintf("the path %q drops what the route's %s matched", text, whole),
			Why: "every request below the route would be sent to one and the same path",
			Fix: fmt.Sprintf("write %q to keep it, or a route without %s", strings.TrimSuffix(text, "/")+"/**", whole),
		})
		return false
	}
	return true
}

// checkTemplateSegment checks one segment and tells whether it holds the rest.
func checkTemplateSegment(n *doc.Node, part string, offset int, last bool, c captures, ps *doc.Problems) (rest, ok bool) {
	fail := func(at int, what, why, fix string) (bool, bool) {
		ps.Add(doc.Problem{Pos: textPos(n, offset+at), What: what, Why: why, Fix: fix})
		return false, false
	}
	if part == "**" {
		switch {
		case !last:
			return fail(0, "** stands before the end of the path to send", "it holds everything that is left", "move it to the end")
		case !c.rest && !c.unknown:
			return fail(0, "the path to send ends in **, but the route captures no rest", "", "end the route's path in /** too, or write the path without it")
		}
		return true, true
	}
	for at := 0; at < len(part); {
		open := strings.IndexAny(part[at:], "{}?#*")
		if open < 0 {
			break
		}
		open += at
		switch part[open] {
		case '{':
		case '*':
			return fail(open, "a * has no meaning inside a segment of the path to send", "", "write /** at the end for the rest, or %2A for the character itself")
		case '}':
			return fail(open, "a } without a { before it", "", "write {name}")
		default:
			return fail(open, fmt.Sprintf("the path to send has a %c", part[open]), "the client's query is passed on as it is; a path has none", "write the path alone")
		}
		length := strings.IndexByte(part[open:], '}')
		if length < 0 {
			return fail(open, "a { without a } in the same segment", "", "write {name}")
		}
		inner := part[open+1 : open+length]
		isRest, problem := c.lookup(inner, part == "{"+inner+"}" && last)
		if problem != "" {
			return fail(open, fmt.Sprintf("{%s} in the path to send cannot be filled", inner), problem, c.fix(inner))
		}
		rest = rest || isRest
		at = open + length + 1
	}
	return rest, true
}

// lookup tells whether {inner} is the rest, and why it cannot be filled.
func (c captures) lookup(inner string, wholeAndLast bool) (rest bool, problem string) {
	name, dots := strings.CutSuffix(inner, "...")
	switch {
	case c.unknown:
		return dots, ""
	case dots && c.name == name && c.name != "" && wholeAndLast:
		return true, ""
	case dots && c.name == name && c.name != "":
		return false, "the rest stands for whole segments at the end"
	case !dots && c.name == name && c.name != "":
		return false, "it is the rest of the path, which is more than one segment"
	case !dots && slices.Contains(c.names, name):
		return false, ""
	default:
		return false, "the route does not capture it"
	}
}

func (c captures) fix(inner string) string {
	name := strings.TrimSuffix(inner, "...")
	if c.name == name && name != "" {
		return fmt.Sprintf("write {%s...} as the last segment", name)
	}
	if len(c.names) == 0 {
		return fmt.Sprintf("write {%s} into the route's path where it stands", name)
	}
	return suggest(name, c.names, "the route captures "+braced(c.names))
}

func braced(names []string) string {
	return "{" + strings.Join(names, "}, {") + "}"
}
