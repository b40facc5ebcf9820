package doc

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// printer writes Nodes in block style.
type printer struct{ strings.Builder }

// node writes n after lead, and indents the lines of its children by indent.
func (p *printer) node(n *Node, indent int, lead string) {
	switch {
	case n.Kind == List && len(n.Items) > 0:
		p.list(n, indent, lead)
	case n.Kind == Map && len(n.Entries) > 0:
		p.mapping(n, indent, lead)
	case n.Kind == List:
		p.WriteString(lead + "[]")
		p.comment(n)
	case n.Kind == Map:
		p.WriteString(lead + "{}")
		p.comment(n)
	default:
		p.WriteString(lead)
		p.scalar(n, indent)
	}
}

// comment ends the line, with the node's comment if it has one.
func (p *printer) comment(n *Node) {
	if text := oneLine(n.Comment); text != "" {
		p.WriteString(" # " + text)
	}
	p.WriteByte('\n')
}

// cleanText replaces the characters that Parse would refuse.
func cleanText(s string) string {
	return strings.Map(func(c rune) rune {
		if unprintable(c) {
			return ' '
		}
		return c
	}, s)
}

// What separates a node from the key or dash that it belongs to.
const (
	behindKey  = " "  // on the line of its key
	behindDash = "- " // on the line of its dash, which is not written yet
	alone      = ""   // on a line of its own
)

func (p *printer) list(n *Node, indent int, lead string) {
	first := p.open(n, lead)
	for _, item := range n.Items {
		if !first {
			p.pad(indent)
		}
		first = false
		p.node(item, indent+indentStep, behindDash)
	}
}

func (p *printer) mapping(n *Node, indent int, lead string) {
	first := p.open(n, lead)
	for _, e := range n.Entries {
		if !first {
			p.pad(indent)
		}
		first = false
		p.WriteString(printKey(e.Key) + ":")
		p.node(e.Value, indent+indentStep, behindKey)
	}
}

// open writes what comes before the children of n, and reports whether the first child goes on the same line.
func (p *printer) open(n *Node, lead string) bool {
	switch {
	case lead == behindKey:
		p.comment(n)
	case lead == alone && n.Comment != "":
		p.WriteString("#")
		p.comment(&Node{Comment: strings.TrimPrefix(n.Comment, "#")})
	case lead == behindDash && n.Comment != "":
		p.WriteString("-")
		p.comment(n)
	default:
		p.WriteString(lead)
		return true
	}
	return false
}

func (p *printer) pad(indent int) { p.WriteString(strings.Repeat(" ", indent)) }

func (p *printer) scalar(n *Node, indent int) {
	if strings.Contains(n.Value, "\n") && fitsBlockText(n.Value) {
		p.blockText(n, indent)
		return
	}
	if n.Quoted || needsQuotes(n.Value) {
		p.WriteString(quote(n.Value))
	} else {
		p.WriteString(n.Value)
	}
	p.comment(n)
}

func (p *printer) blockText(n *Node, indent int) {
	body := strings.TrimSuffix(n.Value, "\n")
	switch {
	case body == n.Value:
		p.WriteString("|-")
	case strings.HasSuffix(body, "\n"):
		p.WriteString("|+")
	default:
		p.WriteString("|")
	}
	p.comment(n)
	for line := range strings.SplitSeq(body, "\n") {
		if line != "" {
			p.pad(max(indent, indentStep))
			p.WriteString(line)
		}
		p.WriteByte('\n')
	}
}

// fitsBlockText reports whether the lines of s can be written below a `|`.
func fitsBlockText(s string) bool {
	if strings.Trim(s, "\n") == "" || isBlank(strings.TrimLeft(s, "\n")[0]) {
		return false
	}
	for line := range strings.SplitSeq(s, "\n") {
		if line != strings.TrimRight(line, " \t") || !printable(line) {
			return false
		}
	}
	return true
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return unprintable(c) || c == '\u0085' })
}

// printKey returns a key, in quotes if it needs them.
func printKey(key string) string {
	if _, bad := badKey(Pos{}, key, key); bad || needsQuotes(key) {
		return quote(key)
	}
	return key
}

// needsQuotes reports whether s without quotes would be read as something else or not at all.
func needsQuotes(s string) bool {
	if s == "" || s != strings.TrimSpace(s) || !printable(s) || strings.Contains(s, "\t") {
		return true
	}
	if text := cutComment(s); text != s || keyEnd(s) >= 0 || isNull(s) || openQuote(s) && s[0] == '=' {
		return true
	}
	_, bad := badPlain(Pos{}, s, s)
	return bad
}

// quote puts s in quotes: single quotes if they can hold it.
func quote(s string) string {
	if printable(s) {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range strings.ToValidUTF8(s, "\ufffd") {
		b.WriteString(escapeRune(c))
	}
	b.WriteByte('"')
	return b.String()
}

func escapeRune(c rune) string {
	switch {
	case c == '"' || c == '\\':
		return `\` + string(c)
	case c == '\n':
		return `\n`
	case c == '\t':
		return `\t`
	case c == utf8.RuneError:
		return string(c)
	case c > 0xffff && unprintable(c):
		return fmt.Sprintf(`\U%08X`, c)
	case unprintable(c) || c == '\u0085':
		return fmt.Sprintf(`\u%04X`, c)
	default:
		return string(c)
	}
}
