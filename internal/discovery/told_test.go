package discovery

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWhatASourceMayTell(t *testing.T) {
	for want, e := range map[string]Endpoint{
		"": {ID: "a@1", Zone: "Zürich 1", Node: "n", Hints: "a,b", Weight: MostWeight},
		`its zone holds what cannot be printed: "a\x1b[2J"`:     {Zone: "a\x1b[2J"},
		`its node holds what cannot be printed: "\xff"`:         {Node: "\xff"},
		`its id holds what cannot be printed: "a\n"`:            {ID: "a\n"},
		`its node hints holds what cannot be printed: "\u202e"`: {NodeHints: "\u202e"},
		`its hints holds what cannot be printed: "\u202e"`:      {Hints: "\u202e"},
		"its id has 513 bytes, and 512 are read":                {ID: strings.Repeat("x", LongestText+1)},
		"its weight is -1, and not from 0 to 1000000":           {Weight: -1},
		"its weight is 1000001, and not from 0 to 1000000":      {Weight: MostWeight + 1},
	} {
		got := ""
		if err := e.Check(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%+v: %q, want %q", e, got, want)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add(" permission denied\nmore")
	f.Add("\x1b]0;title\a")
	f.Add(strings.Repeat("ü", longestLine))
	f.Fuzz(func(t *testing.T, says string) {
		line := Line(says)
		if !printable(line) || utf8.RuneCountInString(line) > longestLine {
			t.Errorf("%q becomes %q", says, line)
		}
	})
}

func TestLines(t *testing.T) {
	for says, want := range map[string]string{
		"permission denied\nand more": "permission denied",
		"\x1b[2Jgone\r":               "?[2Jgone",
		"\xffé":                       "?é",
		"\n\n":                        "",
	} {
		if got := Line(says); got != want {
			t.Errorf("%q becomes %q", says, got)
		}
	}
}
