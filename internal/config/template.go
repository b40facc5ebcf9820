package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/pattern"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// captures are the names that every match of a route captures.
type captures struct {
	names   []string // one segment or label each
	rest    bool     // the path ends in ** or {name...}
	name    string   // of the rest, "" for **
	unknown bool     // some matches capture nothing by name (exact, prefix)
	path    string   // the first pattern
	sent    bool     // the route itself says which path to send
	named   bool     // the route itself says which host to send
}

// below reports whether every path begins with the literal segments of prefix.
func (c captures) below(prefix string) bool {
	own, err := pattern.ParsePath(c.path)
	if c.unknown || err != nil {
		return true
	}
	want, err := pattern.ParsePath(strings.TrimSuffix(prefix, "/"))
	if err != nil || len(want.Segments) > len(own.Segments) {
		return prefix == "/"
	}
	return slices.Equal(want.Segments, own.Segments[:len(want.Segments)])
}

// capturesOf returns what a route's hosts and matches capture. Patterns that cannot be parsed are reported elsewhere
// and count as capturing everything.
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
		host, err := pattern.ParseHost(h)
		if err == nil && host.Param != "" && everyHostCaptures(hosts, host.Param) && i == 0 {
			c.names = append(c.names, host.Param)
		}
	}
	return c
}

func pathCaptures(m PathMatch) captures {
	p, err := pattern.ParsePath(m.Pattern)
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
		host, err := pattern.ParseHost(h)
		return err == nil && host.Param != name
	})
}

// insertion is one parameter of a template of a path or URL.
type insertion struct {
	name   string
	rest   bool // `**` (whose name is empty) or {name...}
	offset int  // in bytes
}

// insertions finds the parameters of a template that its filter has accepted.
func insertions(text string) []insertion {
	var list []insertion
	for at := 0; at < len(text); {
		open := strings.IndexByte(text[at:], '{')
		if open < 0 {
			break
		}
		open += at
		length := strings.IndexByte(text[open:], '}')
		if length < 0 {
			break
		}
		name, rest := strings.CutSuffix(text[open+1:open+length], "...")
		list = append(list, insertion{name, rest, open})
		at = open + length + 1
	}
	if strings.HasSuffix(text, "/**") {
		list = append(list, insertion{"", true, len(text) - 2})
	}
	return list
}

func (i insertion) String() string {
	switch {
	case i.rest && i.name == "":
		return "**"
	case i.rest:
		return "{" + i.name + "...}"
	default:
		return "{" + i.name + "}"
	}
}

// checkInsertions reports what template n needs and the route does not capture.
func checkInsertions(n *doc.Node, c captures, ps *doc.Problems) (ok bool) {
	ok = true
	for _, want := range insertions(n.Value) {
		if c.unknown || want.rest && c.rest && want.name == c.name || !want.rest && slices.Contains(c.names, want.name) {
			continue
		}
		ok = false
		ps.Add(doc.Problem{
			Pos: textPos(n, want.offset), What: fmt.Sprintf("%s in %q cannot be filled", want, n.Value),
			Why: "the route does not capture it", Fix: c.instead(want),
		})
	}
	return ok
}

// instead says what to write in place of an insertion that nothing fills.
func (c captures) instead(want insertion) string {
	switch {
	case c.rest && (want.rest || want.name == c.name):
		return fmt.Sprintf("write %s, which the route captures, as the last segment", c.restText())
	case strings.Contains(c.path, "/:"+want.name):
		return fmt.Sprintf("write {%s} instead of :%s in the route's path", want.name, want.name)
	case want.rest:
		return fmt.Sprintf("end the route's path in /%s, or write the template without it", want)
	case len(c.names) == 0:
		return fmt.Sprintf("write %s into the route's path where it belongs", want)
	default:
		return suggest(want.name, c.names, "the route captures {"+strings.Join(c.names, "}, {")+"}")
	}
}

func (c captures) restText() string { return insertion{name: c.name, rest: true}.String() }

// checkPath checks a rewrite's path.
func checkPath(n *doc.Node, c captures, ps *doc.Problems) {
	if !checkInsertions(n, c, ps) || !c.rest || c.unknown {
		return
	}
	if slices.ContainsFunc(insertions(n.Value), func(i insertion) bool { return i.rest }) {
		return
	}
	rest := c.restText()
	ps.Add(doc.Problem{
		Pos: n.Pos, What: fmt.Sprintf("the path %q drops what the route's %s matched", n.Value, rest),
		Why: "every request below the route would be sent to the same path",
		Fix: fmt.Sprintf("write %q to keep it, or a route without %s", strings.TrimSuffix(n.Value, "/")+"/"+rest, rest),
	})
}
