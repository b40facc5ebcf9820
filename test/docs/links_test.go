package docs_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// link matches [text](target) in prose.
var link = regexp.MustCompile(`\]\(([^)\s]+)(?:\s+"[^"]*")?\)`)

func TestEveryRelativeLinkLeadsSomewhere(t *testing.T) {
	list := pages(t)
	seen := 0
	for _, p := range list {
		for _, l := range p.links() {
			seen++
			if wrong := l.wrong(list); wrong != "" {
				t.Errorf("%s:%d: %s", p.name, l.line, wrong)
			}
		}
	}
	if seen == 0 {
		t.Error("there is no relative link on any page")
	}
}

// relativeLink is a link to another page or place of this repository.
type relativeLink struct {
	page   *page
	line   int // from 1
	target string
}

// links returns the relative links of the prose; links to other sites are not checked.
func (p *page) links() []relativeLink {
	var list []relativeLink
	for i, line := range p.lines {
		if !p.prose[i] {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, ""), -1) {
			if !strings.Contains(m[1], "://") && !strings.HasPrefix(m[1], "mailto:") {
				list = append(list, relativeLink{p, i + 1, m[1]})
			}
		}
	}
	return list
}

// wrong says why the link leads nowhere, and is "" if it leads somewhere.
func (l relativeLink) wrong(list []*page) string {
	file, anchor, hasAnchor := strings.Cut(l.target, "#")
	name := l.page.name
	if file != "" {
		name = path.Join(path.Dir(l.page.name), file)
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(name))); err != nil {
			return fmt.Sprintf("the link %s leads to no file", l.target)
		}
	}
	if !hasAnchor {
		return ""
	}
	switch target, ok := find(list, name); {
	case !ok:
		return fmt.Sprintf("the link %s has an anchor in what is no page", l.target)
	case !target.anchors()[anchor]:
		return fmt.Sprintf("%s has no heading #%s", name, anchor)
	}
	return ""
}

func TestLinksAreThoseOfProse(t *testing.T) {
	p := parsePage("docs/x.md", "# Here\n[a](#here) and [`b`](y.md#there \"title\"), not `[c](d)`\n[e](https://e.dev)\n```\n[f](g)\n```\n")
	y := parsePage("docs/y.md", "# Elsewhere\n")
	var targets, wrong []string
	for _, l := range p.links() {
		targets = append(targets, l.target)
		wrong = append(wrong, l.wrong([]*page{p, y}))
	}
	if !slices.Equal(targets, []string{"#here", "y.md#there"}) {
		t.Errorf("the links are %q", targets)
	}
	if len(wrong) != 2 || wrong[0] != "" || wrong[1] == "" {
		t.Errorf("what is wrong with them: %q", wrong)
	}
}
