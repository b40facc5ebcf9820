package doc

import (
	"fmt"
	"strings"
	"testing"
)

// TestScalarsKeepTheirText holds that nothing but quotes is interpreted.
func TestScalarsKeepTheirText(t *testing.T) {
	for _, text := range []string{
		"010", "no", "on", "Yes", "1:30", "0x1F", "0o17", "1_000", ".5", "1e3", ".inf", ".NaN", "+1", "2001-01-01", "true", "True",
		":8080", "http://users:8080/{id}", "k8s:shop/catalog:http", "=path.user == auth.sub", "='a' + \"b\"", "-x", "<<", "50/s per client.ip", "a#b", "a  b", "日本", //nolint:gosmopolitan // columns count runes
	} {
		for _, src := range []string{"key: " + text + "\n", "key:   " + text + "  # a comment\n", "key:\n  " + text + "\n", "key:\t" + text} {
			n, problems := parsed(t, src)
			if len(problems) > 0 || n.Get("key") == nil || n.Get("key").Value != text || n.Get("key").Quoted {
				t.Errorf("%q is read as %s, %v", src, shape(n), problems)
			}
		}
	}
}

func TestQuotesAndBlockTexts(t *testing.T) {
	for src, want := range map[string]string{
		`'it''s'`: "it's",
		`'a\n'`:   `a\n`,
		`"a\n\t\"\\\/\x41\u00e9\U0001F600\ud83d\ude00\e\0"`: "a\n\t\"\\/Aé😀😀\x1b\x00",
		"''":                          "",
		"|\n  a\n  b\n":               "a\nb\n",
		"|-\n  a\n\n  b\n\n\n":        "a\n\nb",
		"|+\n  a\n\n":                 "a\n\n",
		"|2\n    a\n  b\n":            "  a\nb\n",
		"|2-\n   a\n":                 " a",
		"| # a comment\n  a # none\n": "a # none\n",
		">\n  a\n  b\n\n  c\n":        "a b\nc\n",
		">-\n  a\n    b\n  c\n":       "a\n  b\nc",
		">\n\n  a\n":                  "\na\n",
		"|\n":                         "",
		"|\n  \ta\n  ---\n  # b\n":    "\ta\n---\n# b\n",
	} {
		n, problems := parsed(t, "key: "+src)
		if got := n.Get("key"); len(problems) > 0 || got.Value != want || !got.Quoted {
			t.Errorf("%q is read as %q (%v), not %q", src, got.Value, problems, want)
		}
	}
}

func TestCollections(t *testing.T) {
	for src, want := range map[string]string{
		"":                     `{}`,
		"# nothing\n---\n":     `{}`,
		"---\na: b\n":          `{"a": "b"}`,
		"a:\n- b\n- c\nd: e\n": `{"a": ["b", "c"], "d": "e"}`,
		"- a: b\n  c: d\n-\n  - e\n- - f\n  - g\n":   `[{"a": "b", "c": "d"}, ["e"], ["f", "g"]]`,
		"a: [b, 'c, d', {e: f, \"g\":h}, [], {},]\n": `{"a": ["b", "c, d", {"e": "f", "g": "h"}, [], {}]}`,
		"a: [ # one\n  b, # two\n\n  c\n]\nd: e\n":   `{"a": ["b", "c"], "d": "e"}`,
		"{\n\"a\": [1,\n2],\n\"b\": \"c\"\n}\n":      `{"a": ["1", "2"], "b": "c"}`,
		"'a: b': c\n\"d\" : e\nANY [x]: f\n":         `{"a: b": "c", "d": "e", "ANY [x]": "f"}`,
		"a: # why\n  # how\n  b: c\n":                `{"a": {"b": "c"}}`,
		"  a: b\n  c: d\n":                           `{"a": "b", "c": "d"}`,
	} {
		n, problems := parsed(t, src)
		if len(problems) > 0 || shape(n) != want {
			t.Errorf("%q is read as %s (%v), not %s", src, shape(n), problems, want)
		}
	}
}

func TestPositionsCountRunes(t *testing.T) {
	n, problems := parsed(t, "é: [日, {本: \"ü\", ö: x}]\n") //nolint:gosmopolitan // columns count runes
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var got strings.Builder
	var walk func(n *Node)
	walk = func(n *Node) {
		fmt.Fprintf(&got, "%d:%d ", n.Pos.Line, n.Pos.Col)
		for _, item := range n.Items {
			walk(item)
		}
		for _, e := range n.Entries {
			fmt.Fprintf(&got, "%s=%d ", e.Key, e.KeyPos.Col)
			walk(e.Value)
		}
	}
	walk(n)
	if want := "1:1 é=1 1:4 1:5 1:8 本=9 1:12 ö=17 1:20 "; got.String() != want { //nolint:gosmopolitan // columns count runes
		t.Errorf("positions are %q, not %q", got.String(), want)
	}
}

// TestLocalMistakesKeepTheRest holds that a value that cannot be read costs
// only itself, so that Decode still sees the other keys.
func TestLocalMistakesKeepTheRest(t *testing.T) {
	for src, want := range map[string]string{
		"a: [b\nc: d\n":                        `{"a": ?, "c": "d"}`,
		"a: 'b\nc: d\n":                        `{"a": ?, "c": "d"}`,
		"a: { b: x/{c} }\nd: e\n":              `{"a": ?, "d": "e"}`,
		"a: {\n  b: x/{c},\n  d: e\n}\nf: g\n": `{"a": ?, "f": "g"}`,
		"listen::80\nc: d\n":                   `{"listen": ?, "c": "d"}`,
		"a: ~\nb:\nc: d\n":                     `{"a": ?, "b": ?, "c": "d"}`,
		"a: 1\na: 2\nb: 3\n":                   `{"a": "1", "b": "3"}`,
		"- a\n-\n- [}\n- b\n":                  `["a", ?, ?, "b"]`,
		"a: *b\nc: &d\n  e: f\ng: h":           `{"a": ?, "c": ?, "g": "h"}`,
	} {
		n, problems := parsed(t, src)
		if len(problems) == 0 || shape(n) != want {
			t.Errorf("%q is read as %s (%v), not %s", src, shape(n), problems, want)
		}
	}
}

// TestDoubtfulShapeGivesNoTree holds that wrong indentation leads to no further problems.
func TestDoubtfulShapeGivesNoTree(t *testing.T) {
	for _, src := range []string{"a:\n   b: c\n  d: e\n", "a: b\n  c: d\n", "- a\nb: c\n", "a: b\n- c\n", "a:\n\tb: c\n", "a: b\nc\n", "<<: {a: b}\n", "  a: b\nc: d\n"} {
		if n, problems := parsed(t, src); n != nil || len(problems) == 0 {
			t.Errorf("%q gives %s, %v", src, shape(n), problems)
		}
	}
}

func TestAllMistakesAreToldInOneRun(t *testing.T) {
	_, problems := parsed(t, "a: 'b\nc: [d\ne:\n  f: {g\n  h:i\n  j: =k: l\nm: @n\n")
	lines := make([]int, len(problems))
	for i, p := range problems {
		lines[i] = p.Pos.Line
	}
	if got := fmt.Sprint(lines); got != "[1 2 4 5 6 7]" {
		t.Errorf("problems are told of lines %s: %v", got, problems)
	}
}

// TestLimits holds that hostile documents are refused by counting, not by waiting.
func TestLimits(t *testing.T) {
	deep := strings.Repeat
	tests := map[string]struct{ src, want string }{
		"size":       {deep("a", MaxBytes+1), "too large"},
		"brackets":   {deep("[", 100_000), "too deeply"},
		"braces":     {deep("{a: ", 100_000), "too deeply"},
		"lines of [": {deep("[\n", 100_000), "too deeply"},
		"dashes":     {deep("- ", 100_000), "too deeply"},
		"indentation": {func() string {
			var b strings.Builder
			for i := range 200 {
				b.WriteString(strings.Repeat(" ", i) + "a:\n")
			}
			return b.String()
		}(), "too deeply"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			n, problems := parsed(t, test.src)
			if n != nil || len(problems) == 0 || !strings.Contains(problems[0].What, test.want) {
				t.Errorf("%v", problems)
			}
		})
	}
	if n, problems := parsed(t, deep("[", MaxDepth-1)+deep("]", MaxDepth-1)); n == nil || len(problems) > 0 {
		t.Errorf("%d levels are refused: %v", MaxDepth-1, problems)
	}
	if _, problems := parsed(t, deep("a:b\n", 10_000)); len(problems) != MaxProblems {
		t.Errorf("%d problems are told, not %d", len(problems), MaxProblems)
	}
}

// TestLineEndings holds that what Windows writes is read, with one warning each.
func TestLineEndings(t *testing.T) {
	n, problems := parsed(t, "\ufeffa: b\r\nc: |\r\n  d\r\n  e\r\n")
	if shape(n) != `{"a": "b", "c": "d\ne\n"}` || len(problems) != 2 || problems[0].Severity != Warning || problems[1].Severity != Warning {
		t.Errorf("%s, %v", shape(n), problems)
	}
}

func TestExcerpt(t *testing.T) {
	src := []byte("a: b\n日本: x\x1b[2J\n" + strings.Repeat("y", 300)) //nolint:gosmopolitan // columns count runes
	for _, test := range []struct {
		pos  Pos
		want string
	}{
		{Pos{Line: 1, Col: 4}, "1 | a: b\n  |    ^\n"},
		{Pos{Line: 2, Col: 5}, "2 | 日本: x?[2J\n  |       ^\n"}, //nolint:gosmopolitan // columns count runes
		{Pos{Line: 3, Col: 300}, "3 | ..." + strings.Repeat("y", 51) + "\n  | " + strings.Repeat(" ", 53) + "^\n"},
		{Pos{Line: 3, Col: 1}, "3 | " + strings.Repeat("y", 100) + "...\n  | ^\n"},
		{Pos{Line: 9, Col: 1}, ""},
		{Pos{}, ""},
	} {
		if got := Excerpt(src, test.pos); got != test.want {
			t.Errorf("Excerpt at %s is\n%s\nnot\n%s", test.pos, got, test.want)
		}
	}
}
