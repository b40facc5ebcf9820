package docs_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/telemetry/accesslog"
)

// metric matches a metric's name in code or on a page.
var metric = regexp.MustCompile(`\bweir_[a-z_]+[a-z]\b`)

// TestEveryMetricIsExplained compares the names in the code with the table of
// docs/operations.md, both ways.
func TestEveryMetricIsExplained(t *testing.T) {
	p, ok := find(pages(t), "docs/operations.md")
	if !ok {
		t.Fatal("there is no docs/operations.md")
	}
	explained := map[string]bool{}
	for _, line := range p.lines {
		if strings.HasPrefix(line, "| `weir_") {
			for _, name := range metric.FindAllString(strings.Split(line, "|")[1], -1) {
				explained[name] = true
			}
		}
	}
	counted := metricsOfTheCode(t)
	for name := range counted {
		if !explained[name] {
			t.Errorf("%s is on no page: give it a row in docs/operations.md", name)
		}
	}
	for name := range explained {
		if !counted[name] {
			t.Errorf("docs/operations.md explains %s, which nothing counts", name)
		}
	}
	if len(counted) < 20 {
		t.Errorf("only %d metrics found: this test looks in the wrong place", len(counted))
	}
}

// metricsOfTheCode finds the string literals that are names of metrics.
func metricsOfTheCode(t *testing.T) map[string]bool {
	t.Helper()
	literal := regexp.MustCompile(`"(weir_[a-z_]+)"`)
	found := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(root, "internal"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range literal.FindAllSubmatch(text, -1) {
			found[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestEveryFieldOfTheAccessLogIsExplained compares the table of fields with the code.
func TestEveryFieldOfTheAccessLogIsExplained(t *testing.T) {
	p, ok := find(pages(t), "docs/operations.md")
	if !ok {
		t.Fatal("there is no docs/operations.md")
	}
	for _, name := range accesslog.FieldNames() {
		cell := "`" + name + "`"
		if !slices.Contains(accesslog.DefaultFields(), name) {
			cell = "*" + cell + "*"
		}
		if row := fmt.Sprintf("| %s | %s |", cell, accesslog.FieldHelp(name)); !slices.Contains(p.lines, row) {
			t.Errorf("docs/operations.md has no row\n%s", row)
		}
	}
}
