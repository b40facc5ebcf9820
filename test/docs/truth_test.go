package docs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/config"
)

// TestTheLimitsShownAreTheDefaults checks the one block that says that it shows the defaults.
func TestTheLimitsShownAreTheDefaults(t *testing.T) {
	p, ok := find(pages(t), "docs/configuration.md")
	if !ok {
		t.Fatal("there is no docs/configuration.md")
	}
	for _, b := range p.blocks {
		if b.info != whole || !strings.Contains(b.text(), "first_request:") {
			continue
		}
		loaded := config.Load([]config.Source{{Path: "weir.yaml", Data: []byte(b.text())}}, app.Parts().Vocabulary())
		if loaded.Config == nil || loaded.Config.Limits != config.DefaultLimits() {
			t.Errorf("%s: these are not the defaults, which are %+v", b.at(0), config.DefaultLimits())
		}
		return
	}
	t.Error("docs/configuration.md shows no block with all limits")
}

// wordsAt are configs with a word that the docs say is refused, by the first cell of its row.
var wordsAt = map[string]string{
	"on a route": "listen: :8080\nroutes:\n  GET /:\n    %s: x\n    to: http://a:1\n",
	"at the top": "listen: :8080\n%s: x\nroutes:\n  GET /: http://a:1\n",
}

// TestWordsThatAreSaidToBeRefusedAre checks the table whose first column is headed "where".
func TestWordsThatAreSaidToBeRefusedAre(t *testing.T) {
	p, ok := find(pages(t), "docs/configuration.md")
	if !ok {
		t.Fatal("there is no docs/configuration.md")
	}
	seen := map[string]bool{}
	for i, line := range p.lines {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		form, ok := wordsAt[strings.TrimSpace(cells[1])]
		if !ok {
			continue
		}
		seen[form] = true
		for _, span := range codeSpan.FindAllString(cells[2], -1) {
			word := strings.Trim(span, "`")
			told := strings.Join(problemsOf(t.TempDir(), fmt.Sprintf(form, word)), "\n")
			if !strings.Contains(told, "is not in this version of Weir yet") {
				t.Errorf("%s:%d: %q is not refused as a word of a later version, but with %q", p.name, i+1, word, told)
			}
		}
	}
	if len(seen) != len(wordsAt) {
		t.Errorf("docs/configuration.md has %d of the %d rows of refused words", len(seen), len(wordsAt))
	}
}
