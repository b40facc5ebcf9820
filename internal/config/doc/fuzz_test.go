package doc

import (
	"bytes"
	"strings"
	"testing"
)

// seeds are documents with the corners of the syntax in them; the hostile ones
// are shapes that cost other readers of YAML minutes.
func seeds() []string {
	return []string{
		"", "a", "a: b\n", "a:\n  - b\n  - c: d\n    e: f\n", "a: [b, {c: d}]\n", "a: {\n  b: c, # d\n}\n",
		"a: |\n  b\n\n   c\n# d\ne: >-\n  f\n  g\n", "a: |2+\n    b\n\n\nc: 'it''s'\n", "# a\n\n\n\nb:   c   # d\n- e\n",
		"a:\n- b\n-   - c\n    - d\n", "\"a\\tb\\u00e9\\ud83d\\ude00\": c\n", "---\na: b\n...\n", "\ufeffa: b\r\nc: d\r\n",
		"a:\n\tb: c\n", "listen::8080\n", "a: { to: http://x/{user} }\n", "a: =x: y\n", "a: 'b\n", "a: [b\nc: d\n", "a\x00b: \xff\n",
		"a: >\n\n  b\n    c\n  d\n\n\n  e\n", "? a\n: b\n", "a:\n  b: 1\n c: 2\n", "- a\nb: c\n", "日本: [語, 日]\n", "a: &x b\nc: *x\n", //nolint:gosmopolitan // columns count runes
		strings.Repeat("[", 1000), strings.Repeat("- ", 1000), strings.Repeat("{a: ", 500), strings.Repeat("a: b\n", 50), strings.Repeat("a: [\n", 100),
	}
}

// FuzzParse holds that Parse never panics, that positions lie in the source,
// that a tree never comes with a null in it, and that what Parse accepts without
// a word is read by another reader in the same way.
func FuzzParse(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		n, problems := parsed(t, src)
		for _, p := range problems {
			checkPos(t, src, p.Pos)
			if p.What == "" || strings.Contains(p.String(), "\n") {
				t.Errorf("a problem that is not one line: %q", p.String())
			}
		}
		if len(problems) > MaxProblems {
			t.Errorf("%d problems", len(problems))
		}
		if len(problems) > 0 {
			return
		}
		checkTree(t, src, n, 0)
		if otherIsWrong(src) {
			return
		}
		if other, err := otherShape(strings.TrimSuffix(src, "\n") + "\n"); err != nil || other != shape(n) {
			t.Errorf("Parse reads\n%s\nand go.yaml.in/yaml\n%s (%v)", shape(n), other, err)
		}
	})
}

// otherIsWrong tells sources that go.yaml.in/yaml does not read by YAML 1.2: it
// refuses the surrogate pairs that JSON's writers print, tabs in empty lines and
// before comments, and question marks within a text in brackets.
func otherIsWrong(src string) bool {
	return strings.Contains(strings.ToLower(src), `\ud`) || strings.ContainsAny(src, "\t?")
}

func checkPos(t *testing.T, src string, pos Pos) {
	t.Helper()
	lines := strings.Split(src, "\n")
	if pos.Line < 1 || pos.Line > len(lines) || pos.Col < 1 || pos.Col > len([]rune(lines[pos.Line-1]))+1 {
		t.Errorf("%s is not in the source", pos)
	}
}

func checkTree(t *testing.T, src string, n *Node, depth int) {
	t.Helper()
	checkPos(t, src, n.Pos)
	if n.Kind < Scalar || n.Kind > Map || depth > MaxDepth {
		t.Fatalf("a node of kind %d at depth %d without a problem", n.Kind, depth)
	}
	for _, item := range n.Items {
		checkTree(t, src, item, depth+1)
	}
	for _, e := range n.Entries {
		checkPos(t, src, e.KeyPos)
		checkTree(t, src, e.Value, depth+1)
	}
}

// FuzzFormat holds that Format changes no tree, that doing it twice is doing it
// once, and that it refuses exactly what Parse refuses.
func FuzzFormat(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		var before, found, after, again Problems
		want := Parse("f", []byte(src), &before)
		out := Format("f", []byte(src), &found)
		if (out == nil) != before.Failed() && src != "" {
			t.Fatalf("Format gives %q, Parse tells %v", out, before.list)
		}
		if before.Failed() {
			return
		}
		got := Parse("f", out, &after)
		if len(after.list) > 0 || shape(got) != shape(want) {
			t.Fatalf("formatted:\n%s\nis read as %s, not %s (%v)", out, shape(got), shape(want), after.list)
		}
		if twice := Format("f", out, &again); !bytes.Equal(twice, out) {
			t.Fatalf("formatted twice:\n%q\nonce:\n%q", twice, out)
		}
	})
}

// FuzzEncode holds that Parse reads back what Encode prints.
func FuzzEncode(f *testing.F) {
	for _, s := range append(seeds(), "null", "~", "a: b", "a #b", " a", "a\n", "\n", "- a", "=x", "\ta", "a\t\n", "#", "a\n b", "\u202e") {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		key, value = strings.ToValidUTF8(key, "?"), strings.ToValidUTF8(value, "?")
		scalar := &Node{Kind: Scalar, Value: value, Comment: key}
		n := &Node{Kind: Map, Comment: value, Entries: []Entry{
			{Key: key, Value: scalar},
			{Key: key + "list", Value: &Node{Kind: List, Comment: key, Items: []*Node{
				scalar, {Kind: List, Items: []*Node{scalar, {Kind: Map}}}, {Kind: Map, Comment: value, Entries: []Entry{{Key: key, Value: scalar}, {Key: "x" + key, Value: scalar}}},
			}}},
		}}
		for _, n := range []*Node{n, scalar, {Kind: List, Items: []*Node{scalar}}} {
			out := Encode(n)
			if got, problems := parsed(t, string(out)); len(problems) > 0 || shape(got) != shape(n) {
				t.Fatalf("printed:\n%s\nis read as %s, not %s (%v)", out, shape(got), shape(n), problems)
			}
		}
	})
}

// FuzzSuggest holds that a suggestion is one of the known words and never the word itself.
func FuzzSuggest(f *testing.F) {
	f.Add("lisen", "listen")
	f.Add("", "a")
	f.Add("MaxAge", "max-age")
	f.Fuzz(func(t *testing.T, word, known string) {
		got, ok := Suggest(word, []string{known, "listen"})
		if ok != (got != "") || ok && got != known && got != "listen" || ok && got == word {
			t.Errorf("Suggest(%q, %q) = %q, %t", word, known, got, ok)
		}
	})
}
