package docs_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// page is one Markdown file, as far as these tests parse it: fenced blocks, and the prose between them.
type page struct {
	name    string // with slashes, from the root of the repository
	lines   []string
	blocks  []*block
	prose   []bool // per line: it is not part of a block
	changed bool
}

// block is what stands between two fences.
type block struct {
	page  *page
	info  string // what follows the opening fence
	line  int    // of the first line inside, from 1
	lines []string
}

const fence = "```"

func parsePage(name, text string) *page {
	p := &page{name: name, lines: strings.Split(text, "\n")}
	p.prose = make([]bool, len(p.lines))
	var open *block
	for i, line := range p.lines {
		trimmed := strings.TrimSpace(line)
		switch {
		case open == nil && strings.HasPrefix(trimmed, fence):
			open = &block{page: p, info: strings.TrimSpace(strings.TrimLeft(trimmed, "`")), line: i + 2}
		case open == nil:
			p.prose[i] = true
		case trimmed == fence:
			p.blocks = append(p.blocks, open)
			open = nil
		default:
			open.lines = append(open.lines, line)
		}
	}
	return p
}

func (b *block) text() string { return strings.Join(b.lines, "\n") + "\n" }

// at returns the position of a line of the block; 0 is its first line.
func (b *block) at(line int) string { return fmt.Sprintf("%s:%d", b.page.name, b.line+line) }

// replace puts other lines into the block, for save to write.
func (b *block) replace(lines []string) {
	p, start, grown := b.page, b.line-1, len(lines)-len(b.lines)
	p.lines = slices.Replace(p.lines, start, start+len(b.lines), lines...)
	p.prose = slices.Replace(p.prose, start, start+len(b.lines), make([]bool, len(lines))...)
	for _, other := range p.blocks {
		if other.line > b.line {
			other.line += grown
		}
	}
	b.lines, p.changed = lines, true
}

func (p *page) text() string { return strings.Join(p.lines, "\n") }

// codeSpan matches `code` within a line.
var codeSpan = regexp.MustCompile("`[^`]+`")

// codeSpans returns the code spans of the prose.
func (p *page) codeSpans() []string {
	var list []string
	for i, line := range p.lines {
		if p.prose[i] {
			for _, span := range codeSpan.FindAllString(line, -1) {
				list = append(list, strings.Trim(span, "`"))
			}
		}
	}
	return list
}

// anchors returns the fragments that GitHub gives the headings: lower case, spaces as hyphens, without punctuation,
// and with a number after repeated ones.
func (p *page) anchors() map[string]bool {
	all, times := map[string]bool{}, map[string]int{}
	for i, line := range p.lines {
		title := strings.TrimLeft(line, "#")
		if !p.prose[i] || title == line || !strings.HasPrefix(title, " ") {
			continue
		}
		slug := slugOf(title)
		if n := times[slug]; n > 0 {
			all[fmt.Sprintf("%s-%d", slug, n)] = true
		} else {
			all[slug] = true
		}
		times[slug]++
	}
	return all
}

func slugOf(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		default:
			return -1
		}
	}, strings.TrimSpace(title))
}

func TestPageKnowsItsBlocksAndHeadings(t *testing.T) {
	p := parsePage("x.md", "# The `a` page\n\n```yaml broken\na: 1\n```\n\n```text\n# no heading\n```\n\n## Is it?\n## Is it?\n")
	if len(p.blocks) != 2 || p.blocks[0].info != "yaml broken" || p.blocks[0].text() != "a: 1\n" || p.blocks[0].at(0) != "x.md:4" {
		t.Errorf("blocks are %+v", p.blocks)
	}
	want := map[string]bool{"the-a-page": true, "is-it": true, "is-it-1": true}
	if got := p.anchors(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("anchors are %v, want %v", got, want)
	}
	if spans := p.codeSpans(); !slices.Equal(spans, []string{"a"}) {
		t.Errorf("code spans are %q", spans)
	}
}

func TestReplacedBlocksMoveThoseBehindThem(t *testing.T) {
	p := parsePage("x.md", "```a\n1\n```\nand\n```b\n2\n```\n")
	p.blocks[0].replace([]string{"1", "one"})
	p.blocks[1].replace(nil)
	if want := "```a\n1\none\n```\nand\n```b\n```\n"; p.text() != want {
		t.Errorf("got %q, want %q", p.text(), want)
	}
	if !p.changed || p.blocks[1].at(0) != "x.md:7" {
		t.Errorf("the second block is at %s", p.blocks[1].at(0))
	}
}
