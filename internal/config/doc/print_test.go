package doc

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

func TestFormat(t *testing.T) {
	for _, test := range []struct{ name, src, want string }{
		{"indentation", "a:\n     b:   c\n     d:\n      - e\n", "a:\n  b: c\n  d:\n    - e\n"},
		{"list in its key's column", "a:\n- b\n-   c: d\n    e: f\ng: h\n", "a:\n  - b\n  - c: d\n    e: f\ng: h\n"},
		{"nested dashes", "-    -   a\n     -  b\n", "- - a\n  - b\n"},
		{"comments stay with what they stand before", "# top\na:\n    # of b\n    b: c # of c  \n    # last in a\n# of d\nd: e\n# end\n", "# top\na:\n  # of b\n  b: c # of c\n  # last in a\n# of d\nd: e\n# end\n"},
		{"empty lines", "\n\na: b\n\n\n\nc: d  \n\n\n", "a: b\n\nc: d\n"},
		{"quotes and brackets stay", "a:   'b'\nc: \"d\"\ne: [ f,g ]\n", "a: 'b'\nc: \"d\"\ne: [ f,g ]\n"},
		{"brackets over lines", "x:\n    a: [\n        b, # one\n\n\n        c,\n    ]\n", "x:\n  a: [\n      b, # one\n\n      c,\n  ]\n"},
		{"block text", "a:\n    b: |\n        c\n          d\n\n\n        e\n\n\n    f: |1\n      g\n", "a:\n  b: |\n    c\n      d\n\n\n    e\n\n  f: |1\n    g\n"},
		{"kept line ends", "a: |+\n   b\n\n\nc: d\n", "a: |+\n  b\n\n\nc: d\n"},
		{"colon", "a : b\n'c'   :   d\n", "a: b\n'c': d\n"},
		{"what Windows writes", "\ufeffa: b\r\nc: d\r\n", "a: b\nc: d\n"},
		{"whole document moved", "---\n  a: b\n  c: d\n", "---\na: b\nc: d\n"},
		{"no final newline", "a: b", "a: b\n"},
		{"value on its own line", "a:\n      b\n", "a:\n  b\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var ps Problems
			if got := string(Format("f", []byte(test.src), &ps)); got != test.want || ps.Failed() {
				t.Errorf("gives\n%s\nnot\n%s\n%v", got, test.want, ps.Sorted())
			}
		})
	}
}

func TestFormatRefusesWhatParseRefuses(t *testing.T) {
	var ps Problems
	if out := Format("f", []byte("a: [b\n"), &ps); out != nil || !ps.Failed() {
		t.Errorf("%s, %v", out, ps.Sorted())
	}
}

func TestEncodeIsReadBack(t *testing.T) {
	want := everything{
		common: common{Note: "two\nlines\n"}, Text: "010", Flag: true, Small: -8, Count: 3, Ratio: 2.5, Wait: time.Hour, Size: 64 * KiB,
		Words: []string{"- a", "b: c", "", "null", "=x: y", "plain text", " x ", "a #b", "\x1b"}, Many: []string{}, ByName: map[string]inner{"b": {Name: "y"}, "a": {Name: "x"}},
		Pointer: &inner{Name: "z"}, Nets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Scale: scale{Min: 1, Max: 4},
		Raw: &Node{Kind: Map}, Labels: map[string]string{"a: b": "'c'", "": "\u202e", "multi": "x\n\n  y"},
	}
	out := Encode(&want)
	compareGolden(t, "testdata/encode.golden", string(out))

	var ps Problems
	var got everything
	Decode(Parse("f", out, &ps), &got, &ps)
	got.Raw, want.Raw = nil, nil
	got.Pointer.At = Pos{}
	got.ByName = map[string]inner{"b": {Name: got.ByName["b"].Name}, "a": {Name: got.ByName["a"].Name}}
	if ps.Failed() || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", ps.Sorted(), got, want)
	}
}

func TestEncodePrintsComments(t *testing.T) {
	n := EncodeNode(map[string]any{"b": []string{"x"}, "a": 5 * time.Second, "c": map[string]int{}})
	n.Entries[0].Value.Comment = "default"
	n.Entries[1].Value.Comment = "from shop.yaml:3\nand more"
	n.Entries[1].Value.Items[0].Comment = "one"
	n.Entries[2].Value.Comment = "none"
	want := "a: 5s # default\nb: # from shop.yaml:3 and more\n  - x # one\nc: {} # none\n"
	if got := string(Encode(n)); got != want {
		t.Errorf("gives\n%s\nnot\n%s", got, want)
	}
}

func TestEncodeOfNothing(t *testing.T) {
	if out := Encode(nil); out != nil {
		t.Errorf("%q", out)
	}
	if out := Encode((*everything)(nil)); out != nil {
		t.Errorf("%q", out)
	}
}

func TestSchema(t *testing.T) {
	out, err := json.MarshalIndent(SchemaOf(reflect.TypeFor[everything]()), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "testdata/schema.golden", string(out)+"\n")
}

// TestSchemaOfRecursiveType holds that a type that holds itself ends in a reference.
func TestSchemaOfRecursiveType(t *testing.T) {
	type tree struct {
		Children []*tree `doc:"children"`
	}
	out, err := json.Marshal(SchemaOf(reflect.TypeFor[tree]()))
	if err != nil {
		t.Fatal(err)
	}
	const body = `"type":"object","properties":{"children":{"type":"array","items":{"$ref":"#/$defs/doc.tree"}}},"additionalProperties":false`
	if want := `{"$schema":"https://json-schema.org/draft/2020-12/schema",` + body + `,"$defs":{"doc.tree":{` + body + `}}}`; string(out) != want {
		t.Errorf("gives\n%s\nnot\n%s", out, want)
	}
}

func BenchmarkParse(b *testing.B) {
	src := []byte{}
	for range 1000 {
		src = append(src, "- name: orders\n  to: lambda:orders:live@eu-west-1\n  limit: [50/s per client.ip, 20/s per auth.id]\n  allow: =auth.has('orders:write')\n"...)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		var ps Problems
		if Parse("f", src, &ps) == nil {
			b.Fatal(ps.Sorted())
		}
	}
}
