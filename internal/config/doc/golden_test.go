package doc

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGoldenProblems reads testdata/*.yaml and compares what is told of them,
// with the excerpts that a terminal shows, to the .txt beside it.
func TestGoldenProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var ps Problems
			Parse(filepath.Base(file), src, &ps)
			var b strings.Builder
			for _, p := range ps.Sorted() {
				b.WriteString(p.String() + "\n" + Excerpt(src, p.Pos) + "\n")
			}
			compareGolden(t, strings.TrimSuffix(file, ".yaml")+".txt", b.String())
		})
	}
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (run with -update to accept):\n%s", file, got)
	}
}
