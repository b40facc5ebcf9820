package http1test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Case is one request of the published corpora; see testdata/README.md of package http1.
type Case struct {
	Name   string `json:"name"`
	Text   string `json:"raw"`
	Expect string `json:"expect"` // "reject" or "safe"
	Most   int    `json:"n"`      // how many requests may be read at most
	Why    string `json:"why"`
	Source string `json:"source"`
}

// Raw is what the client sends.
func (c Case) Raw() []byte { return Bytes(c.Text) }

// Corpus reads all cases of the *.jsonl files in dir.
func Corpus(tb testing.TB, dir string) []Case {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("no corpora in %s: %v", dir, err)
	}
	var cases []Case
	for _, file := range files {
		cases = append(cases, readCases(tb, file)...)
	}
	return cases
}

func readCases(tb testing.TB, file string) []Case {
	tb.Helper()
	f, err := os.Open(file)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var cases []Case
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c Case
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
		cases = append(cases, c)
	}
	if err := lines.Err(); err != nil {
		tb.Fatal(err)
	}
	return cases
}
