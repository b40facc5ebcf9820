package docs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/control/compile"
)

// The info strings of blocks with configs.
const (
	whole    = "yaml"
	broken   = "yaml broken"
	fragment = "yaml fragment"
)

// surroundings are the files that the examples name by path.
var surroundings = map[string]string{
	"public/index.html":        "<h1>shop</h1>\n",
	"catalog/tea.json":         "{}\n",
	"functions/go.mod":         "module example.com/functions\n\ngo 1.26\n",
	"functions/orders/main.go": "package main\n\nimport _ \"github.com/aws/aws-lambda-go/lambda\"\n\nfunc main() {}\n",
	"functions/offers/main.go": "package main\n\nfunc main() {}\n",
	"functions/latest/main.go": "package main\n\nfunc main() {}\n",
}

func TestEveryConfigOnEveryPageIsWhatItSays(t *testing.T) {
	folder := t.TempDir()
	for name, text := range surroundings {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	for _, p := range pages(t) {
		for i, b := range p.blocks {
			if strings.HasPrefix(b.info, "yaml") {
				seen++
				holdConfig(t, folder, p, i)
			}
		}
		p.save(t)
	}
	if seen == 0 {
		t.Error("there is no config on any page")
	}
}

// holdConfig compares what is wrong with block i of a page with what the page says.
func holdConfig(t *testing.T, folder string, p *page, i int) {
	t.Helper()
	b := p.blocks[i]
	switch b.info {
	case fragment:
	case whole:
		for _, problem := range problemsOf(folder, b.text()) {
			t.Errorf("%s, %s", b.at(0), problem)
		}
	case broken:
		if i+1 == len(p.blocks) || p.blocks[i+1].info != "text" {
			t.Errorf("%s: no text block with its problems stands behind it", b.at(0))
			return
		}
		holdProblems(t, p.blocks[i+1], problemsOf(folder, b.text()))
	default:
		t.Errorf("%s: a config is told as %q, %q or %q, not as %q", b.at(0), whole, broken, fragment, b.info)
	}
}

func holdProblems(t *testing.T, shown *block, problems []string) {
	t.Helper()
	switch {
	case len(problems) == 0:
		t.Errorf("%s: nothing is wrong with the config before this", shown.at(0))
	case slices.Equal(problems, shown.lines):
	case *update:
		shown.replace(problems)
	default:
		t.Errorf("%s shows\n%s\nbut `weir check` says\n%s", shown.at(0), shown.text(), strings.Join(problems, "\n"))
	}
}

// problemsOf returns what `weir check` says of a config in folder.
func problemsOf(folder, text string) []string {
	parts := app.Parts()
	path := filepath.Join(folder, "weir.yaml")
	loaded := config.Load([]config.Source{{Path: path, Data: []byte(text)}}, parts.Vocabulary())
	problems := loaded.Problems
	if loaded.Config != nil {
		var more []doc.Problem
		_, more = compile.Check(parts, loaded.Config, "")
		problems = append(problems, more...)
	}
	var told []string
	for _, p := range problems {
		told = append(told, strings.ReplaceAll(p.String(), folder+string(filepath.Separator), ""))
	}
	return told
}

func TestProblemsOfAConfigAreThoseOfCheck(t *testing.T) {
	if got := problemsOf(t.TempDir(), "listen: :8080\nroutes:\n  GET /: respond:ok\n"); got != nil {
		t.Errorf("a good config has the problems %q", got)
	}
	loading := problemsOf(t.TempDir(), "lisen: :8080\n")
	if len(loading) != 1 || !strings.HasPrefix(loading[0], `weir.yaml:1:1: unknown key "lisen"`) {
		t.Errorf("a misspelt key gives %q", loading)
	}
	compiling := problemsOf(t.TempDir(), "listen: :8080\nfunctions:\n  a: { run: ./nowhere }\n")
	if len(compiling) != 1 || !strings.Contains(compiling[0], "there is no file or folder nowhere") {
		t.Errorf("a missing program gives %q", compiling)
	}
}
