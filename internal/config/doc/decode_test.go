package doc

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

type common struct {
	Note string `doc:"note"`
}

// scale has a short form: a number is its max.
type scale struct {
	Min int           `doc:"min"`
	Max int           `doc:"max"`
	Idl time.Duration `doc:"idle"`
}

func (s *scale) DecodeDoc(n *Node, ps *Problems) {
	if n.Kind == Scalar {
		Decode(n, &s.Max, ps)
		return
	}
	type long scale
	Decode(n, (*long)(s), ps)
}

func (s *scale) EncodeDoc() *Node {
	type long scale
	return EncodeNode((*long)(s))
}

func (s *scale) DocSchema() *Schema {
	type long scale
	return &Schema{AnyOf: []*Schema{{Type: Types{"integer"}}, SchemaOf(reflect.TypeFor[long]())}}
}

type inner struct {
	Name string `doc:"name,required" help:"what it is called" example:"orders"`
	At   Pos    `doc:"-,pos"`
}

type everything struct {
	common   `doc:",inline"`
	Text     string            `doc:"text"`
	Flag     bool              `doc:"flag" example:"true"`
	Small    int8              `doc:"small"`
	Count    uint16            `doc:"count"`
	Ratio    float64           `doc:"ratio"`
	Wait     time.Duration     `doc:"wait" example:"2s"`
	Size     Size              `doc:"size"`
	Words    []string          `doc:"words"`
	Many     []string          `doc:"many,oneormany"`
	ByName   map[string]inner  `doc:"by-name"`
	Pointer  *inner            `doc:"pointer"`
	Nets     []netip.Prefix    `doc:"nets,oneormany"`
	Scale    scale             `doc:"scale"`
	Raw      *Node             `doc:"raw"`
	Optional string            `doc:"optional,omitzero"`
	Labels   map[string]string `doc:"labels"`
	Ignored  string
}

// TestATextThatIsEmptyIsRefused unless it means something, for a field that holds it looks as if
// nobody had written it.
func TestATextThatIsEmptyIsRefused(t *testing.T) {
	var ps Problems
	got := struct {
		Zone   string            `doc:"zone" help:"where it is" example:"a"`
		Name   string            `doc:"name,required" help:"what it is called"`
		Body   string            `doc:"body,empty"`
		Labels map[string]string `doc:"labels"`
		Words  []string          `doc:"words"`
	}{Zone: "usual", Body: "usual"}
	Decode(Parse("f", []byte("zone: ''\nname: \"\"\nbody: ''\nlabels: { a: '' }\nwords: ['']\n"), &ps), &got, &ps)
	told := ""
	for _, p := range ps.Sorted() {
		told += p.String() + "\n"
	}
	if want := "f:1:7: zone is empty; where it is; leave it out, or for example `zone: a`\nf:2:7: name is empty; what it is called\n"; told != want {
		t.Errorf("told is\n%swant\n%s", told, want)
	}
	if got.Zone != "usual" || got.Body != "" || got.Labels["a"] != "" || len(got.Words) != 1 {
		t.Errorf("read is %+v", got)
	}
}

func TestDecodeFillsEveryKind(t *testing.T) {
	src := `
note: n
text: 010
flag: true
small: -8
count: 65535
ratio: 0.5
wait: 1m30s
size: 10MB
words: [a, b]
many: a
by-name:
  x: { name: y }
pointer:
  name: z
nets: [10.0.0.0/8]
scale: 4
raw: [1, 2]
labels: { a: b }
`
	var ps Problems
	got := everything{Optional: "default", Ignored: "kept"}
	Decode(Parse("f", []byte(src), &ps), &got, &ps)
	if ps.Failed() {
		t.Fatal(ps.Sorted())
	}
	if shape(got.Raw) != `["1", "2"]` {
		t.Errorf("raw is %s", shape(got.Raw))
	}
	got.Raw = nil
	want := everything{
		common: common{Note: "n"}, Text: "010", Flag: true, Small: -8, Count: 65535, Ratio: 0.5, Wait: 90 * time.Second, Size: 10 * MB,
		Words: []string{"a", "b"}, Many: []string{"a"}, ByName: map[string]inner{"x": {Name: "y", At: Pos{"f", 13, 6}}},
		Pointer: &inner{Name: "z", At: Pos{"f", 15, 3}}, Nets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Scale: scale{Max: 4}, Optional: "default", Labels: map[string]string{"a": "b"}, Ignored: "kept",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestDecodeProblems holds the words of each mistake, for they are the product.
func TestDecodeProblems(t *testing.T) {
	for src, want := range map[string]string{
		"txt: a":             `1:1: unknown key "txt"; valid here are note, text, flag, small, count, ratio, wait, size, words, many, by-name, pointer and 5 more; did you mean "text"?`,
		"scale: { mx: 1 }":   `1:10: unknown key "mx"; valid here: min, max, idle; did you mean "max"?`,
		"flag: yes":          "1:7: \"yes\" is not true or false; write true; for example `flag: true`",
		"flag: \"true\"":     "1:7: \"true\" is not true or false; the quotes make it a text; write it without them; for example `flag: true`",
		"small: 128":         `1:8: "128" is not a whole number; it must be between -128 and 127`,
		"small: 010":         `1:8: "010" is not a whole number; some parsers read a leading zero as octal; write 10`,
		"small: 0x1F":        `1:8: "0x1F" is not a whole number; a whole number is written in decimal digits only`,
		"count: -1":          `1:8: "-1" is not a whole number; it must be between 0 and 65535`,
		"ratio: .inf":        `1:8: ".inf" is not a number; a number is written as 8, 0.5 or 1e3`,
		"ratio: 1e999":       `1:8: "1e999" is not a number; it is too large`,
		"wait: 5":            "1:7: \"5\" is not a duration; a duration needs a unit: 5s, 5ms or 5m; for example `wait: 2s`",
		"wait: soon":         "1:7: \"soon\" is not a duration; a duration is written as 300ms, 2s, 1m30s or 1h; for example `wait: 2s`",
		"wait: -2s":          "1:7: \"-2s\" is not a duration; a duration cannot be negative; for example `wait: 2s`",
		"wait: [2s]":         "1:7: wait is a list; it must be a duration; for example `wait: 2s`",
		"size: 5":            `1:7: "5" is not a size; a size needs a unit: 5B, 5KiB or 5MB`,
		"size: 5XB":          `1:7: "5XB" is not a size; "XB" is not a unit of size; the units are B, KB, MB, GB, TB, KiB, MiB, GiB and TiB`,
		"words: a":           `1:8: words is the value "a"; it must be a list; put it in brackets: [a]`,
		"words: [[a]]":       `1:9: a list is among the elements of words; each must be a text`,
		"by-name: [a]":       `1:10: by-name is a list; it must be a map`,
		"by-name: { a: {} }": "1:15: \"name\" is missing; what it is called; for example `name: orders`",
		"pointer: a":         `1:10: pointer is the value "a"; it must be a map`,
		"nets: 10.0.0.0/33":  `1:7: "10.0.0.0/33" is not understood here; netip.ParsePrefix("10.0.0.0/33"): prefix length out of range`,
		"text: { a: b }":     `1:7: text is a map; it must be a text`,
		"many: { a: b }":     `1:7: a map is among the elements of many; each must be a text`,
	} {
		var ps Problems
		var into everything
		Decode(Parse("f", []byte(src), &ps), &into, &ps)
		got := ps.Sorted()
		if len(got) != 1 || got[0].String() != "f:"+want {
			t.Errorf("%s\ngives %v\nnot   f:%s", src, got, want)
		}
	}
}

// TestDecodePassesOverWhatParseRefused holds that one mistake is one problem.
func TestDecodePassesOverWhatParseRefused(t *testing.T) {
	var ps Problems
	into := everything{Text: "default", Small: 3}
	Decode(Parse("f", []byte("text: ~\npointer:\nwords: [a, ~]\nby-name: { a: ~ }\nsmall: 999\n"), &ps), &into, &ps)
	if got := ps.Sorted(); len(got) != 5 {
		t.Errorf("%d problems: %v", len(got), got)
	}
	if into.Text != "default" || into.Small != 3 || into.Pointer != nil || !slices.Equal(into.Words, []string{"a"}) || len(into.ByName) != 0 {
		t.Errorf("%+v", into)
	}
	Decode(nil, &into, &ps)
}

func TestDecodePanicsOnMistakesOfProgrammers(t *testing.T) {
	for want, into := range map[string]any{
		"needs a pointer": everything{},
		"is an interface": &struct {
			A any `doc:"a"`
		}{},
		"two fields named": &struct {
			A, B string `doc:"a"`
		}{},
		"unknown tag option": &struct {
			A string `doc:"a,optional"`
		}{},
		"tagged empty and must be a string": &struct {
			A int `doc:"a,empty"`
		}{},
		"must be a slice": &struct {
			A string `doc:"a,oneormany"`
		}{},
		"without a name": &struct {
			A string `doc:""`
		}{},
		"must be a doc.Pos": &struct {
			A string `doc:"-,pos"`
		}{},
		"not exported": &struct {
			a string `doc:"a"`
		}{},
		"are not supported": &struct {
			A chan int `doc:"a"`
		}{},
		"must be strings": &struct {
			A map[int]string `doc:"a"`
		}{},
	} {
		t.Run(want, func(t *testing.T) {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
					t.Errorf("panics with %q", got)
				}
			}()
			var ps Problems
			n := &Node{Kind: Map, Entries: []Entry{{Key: "a", Value: &Node{Kind: Map}}}}
			if want == "are not supported" {
				n.Entries[0].Value = &Node{Kind: Scalar, Value: "x"}
			}
			Decode(n, into, &ps)
		})
	}
}

func TestSizeAndDurationPrintWhatIsReadBack(t *testing.T) {
	for text, want := range map[string]Size{"0B": 0, "1B": 1, "10MB": 10 * MB, "64KiB": 64 * KiB, "1.5KiB": 1536, "3 GB": 3 * GB, "2tib": 2 * TiB} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v", text, got, err)
		}
		if again, err := ParseSize(got.String()); err != nil || again != got {
			t.Errorf("%s prints as %s", text, got)
		}
	}
	for _, text := range []string{"", "MB", "1", "-1B", "1.5B", "9999999TiB", "1e9B", "1..2KB", "99999999999999999999B"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d", text, got)
		}
	}
	for want, d := range map[string]time.Duration{"0s": 0, "300ms": 300 * time.Millisecond, "1h": time.Hour, "1h30m": 90 * time.Minute, "1m0.5s": time.Minute + time.Second/2, "10m": 10 * time.Minute, "1h0m1s": time.Hour + time.Second} {
		if got := durationText(d); got != want {
			t.Errorf("%v prints as %s, not %s", d, got, want)
		}
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"listen", "limit", "max-age", "allow", "auth", "to", "origins", "expose_headers"}
	for word, want := range map[string]string{
		"lisen": "listen", "listne": "listen", "Listen": "listen", "maxAge": "max-age", "max_age": "max-age", "orgins": "origins", "atuh": "auth",
		"exposeHeaders": "expose_headers", "allwo": "allow", "xyz": "", "": "", "listen": "", "a": "", strings.Repeat("x", 10_000): "",
	} {
		if got, ok := Suggest(word, known); got != want || ok != (want != "") {
			t.Errorf("Suggest(%q) = %q, %t, not %q", word, got, ok, want)
		}
	}
}
