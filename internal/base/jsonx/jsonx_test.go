package jsonx_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

func mustParse(tb testing.TB, text string) jsonx.Value {
	tb.Helper()
	v, err := jsonx.Parse([]byte(text), jsonx.Options{})
	if err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestParseRefusesWhatIsNoJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, want string
	}{
		{``, "the text ends where a value is expected at byte 0"},
		{`[1,]`, "this is no value at byte 3"},
		{`[1 2]`, "a ',' or ']' is expected at byte 3"},
		{`{"a" 1}`, "a ':' is expected after a member's name at byte 5"},
		{`{a: 1}`, "a member's name is expected, in double quotes at byte 1"},
		{`1 2`, "there is more after the value at byte 2"},
		{`01`, "there is more after the value at byte 1"},
		{`1.`, "a digit is expected after the '.' at byte 2"},
		{`1e+`, "a digit is expected in the exponent at byte 3"},
		{`-`, "a digit is expected at byte 1"},
		{`"a`, "the text ends within a string at byte 2"},
		{"\"\n\"", "a control character in a string has to be escaped at byte 1"},
		{`"\x"`, "this escape is unknown at byte 1"},
		{`"\u12g4"`, `\u is followed by four hexadecimal digits at byte 1`},
		{"[\"\xff\"]", "this string is not valid UTF-8 at byte 1"},
		{`nul`, "this is no value at byte 0"},
		{"\ufeff1", "this is no value at byte 0"},
		{strings.Repeat("[", 200), "the nesting is too deep at byte 128"},
	} {
		_, err := jsonx.Parse([]byte(c.text), jsonx.Options{})
		if _, ok := errors.AsType[*jsonx.SyntaxError](err); !ok || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
}

func TestParseKeepsItsLimits(t *testing.T) {
	t.Parallel()
	if _, err := jsonx.Parse([]byte(`[[1]]`), jsonx.Options{MaxDepth: 1}); err == nil {
		t.Error("depth 2 was taken where 1 is the limit")
	}
	_, err := jsonx.Parse([]byte(`[1, 2]`), jsonx.Options{MaxBytes: 5})
	if tooLarge, ok := errors.AsType[*jsonx.TooLargeError](err); !ok || tooLarge.Limit != 5 {
		t.Errorf("six bytes where five are the limit: %v", err)
	}
	for _, text := range []string{`{"a": 1, "b": 2, "a": 3}`, `[{"a": 1, "\u0061": 2}]`} {
		if _, err := jsonx.Parse([]byte(text), jsonx.Options{Unique: true}); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("%s: %v", text, err)
		}
		mustParse(t, text)
	}
}

func TestValueGivesWhatIsThere(t *testing.T) {
	t.Parallel()
	v := mustParse(t, ` {"n": 9007199254740993, "f": 1.10, "s": "a\n\u00fc\ud83d\ude00\ud800", "l": [1, [2], {}], "t": true, "z": null, "n2": -5, "d": 1, "d": 2} `)
	get := func(name string) jsonx.Value {
		m, ok := v.Get(name)
		if !ok {
			t.Fatalf("no member %s", name)
		}
		return m
	}
	if n, ok := get("n").Int(); !ok || n != 9007199254740993 {
		t.Errorf("n = %d, %v", n, ok)
	}
	if _, ok := get("f").Int(); ok || get("f").Raw() != "1.10" {
		t.Errorf("f = %s", get("f").Raw())
	}
	if s := get("s").Text(); s != "a\nü😀\ufffd" {
		t.Errorf("s = %q", s)
	}
	if l := get("l"); l.Len() != 3 || l.At(1).At(0).Raw() != "2" || l.At(2).Kind() != jsonx.Object || l.At(3).Kind() != jsonx.Invalid {
		t.Errorf("l = %s", l.Raw())
	}
	if !get("t").Bool() || get("z").Kind() != jsonx.Null || get("d").Raw() != "2" {
		t.Error("t, z or d is wrong")
	}
	if _, ok := v.Get("none"); ok {
		t.Error("a member that is not there was found")
	}
	if n, ok := (jsonx.Value{}).Get("a"); ok || n.Kind() != jsonx.Invalid || n.Raw() != "" || n.Len() != 0 || n.Any() != nil {
		t.Error("the zero Value holds something")
	}
}

func TestLargeObjectsAndListsAreIndexed(t *testing.T) {
	t.Parallel()
	var object, list strings.Builder
	for i := range 1000 {
		name := strconv.Itoa(i * 7919 % 1000)
		object.WriteString(`"k` + name + `": ` + name + `, `)
		list.WriteString(`[` + strconv.Itoa(i) + `], `)
	}
	v := mustParse(t, `{`+object.String()+`"k5": "last"}`)
	l := mustParse(t, `[`+list.String()+`0]`)
	for i := range 1000 {
		name := strconv.Itoa(i)
		if m, ok := v.Get("k" + name); !ok || i != 5 && m.Raw() != name || i == 5 && m.Text() != "last" {
			t.Errorf("k%s = %s, %v", name, m.Raw(), ok)
		}
		if e := l.At(i); e.Raw() != "["+name+"]" {
			t.Errorf("element %d is %s", i, e.Raw())
		}
	}
	if _, ok := v.Get("k1000"); ok {
		t.Error("k1000 was found")
	}
}

func TestAppendWritesEveryTree(t *testing.T) {
	t.Parallel()
	raw := mustParse(t, `{"z": 1.0,  "a": "<é>"}`)
	for _, c := range []struct {
		value any
		want  string
	}{
		{nil, `null`},
		{[]any{true, false, "a", 1, int64(-2), uint64(math.MaxUint64), 1.5}, `[true,false,"a",1,-2,18446744073709551615,1.5]`},
		{map[string]any{"b": raw, "a": json.Number("1.10"), "c": json.RawMessage(` [1] `)}, `{"a":1.10,"b":{"z": 1.0,  "a": "<é>"},"c":[1]}`},
		{"<&>\u2028\"\\\n\r\t\x01\xff", `"<&>\u2028\"\\\n\r\t\u0001` + "\ufffd" + `"`},
		{[]byte("hi"), `"aGk="`},
		{[]string{"a", "b"}, `["a","b"]`},
		{12345678.0, `12345678`},
		{1e21, `1e+21`}, {1e-7, `1e-7`}, {1.5e-10, `1.5e-10`}, {math.Copysign(0, -1), `0`}, {0.000001, `0.000001`}, {123456789012345680000.0, `123456789012345680000`},
		{jsonx.Value{}, `null`},
	} {
		got, err := jsonx.Append(nil, c.value)
		if err != nil || string(got) != c.want {
			t.Errorf("%#v\n got %s, %v\nwant %s", c.value, got, err, c.want)
		}
	}
	deep := any(nil)
	for range 20_000 {
		deep = []any{deep}
	}
	for _, bad := range []any{math.NaN(), math.Inf(1), json.Number("1x"), json.Number(`"a"`), json.RawMessage(`[`), struct{}{}, deep} {
		if got, err := jsonx.Append(nil, bad); err == nil {
			t.Errorf("%T was written as %s", bad, got)
		}
	}
}

func TestValueMarshalsAsItself(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(map[string]any{"v": mustParse(t, `[1.0]`), "z": jsonx.Value{}})
	if err != nil || string(got) != `{"v":[1.0],"z":null}` {
		t.Errorf("%s, %v", got, err)
	}
}

func TestAListIsBuiltOfParsedValues(t *testing.T) {
	t.Parallel()
	long := "[" + strings.Repeat(`{"a":"\u00e9"},`, 40) + "0]"
	object := "{"
	for i := range 40 {
		object += `"m` + strconv.Itoa(i) + `": ` + strconv.Itoa(i) + `,`
	}
	object += `"last": ` + long + "}"
	outer := mustParse(t, `{"x": [ 1, `+object+`], "y": 9007199254740993, "z": 1.10}`)
	inner, _ := outer.Get("x")
	y, _ := outer.Get("y")
	z, _ := outer.Get("z")
	for name, values := range map[string][]jsonx.Value{
		"none": nil, "one": {y}, "nothing": {{}}, "inner": {inner, z, {}, mustParse(t, long), outer},
		"many": slices.Repeat([]jsonx.Value{inner.At(1), y}, 20),
	} {
		var b jsonx.ListBuilder
		texts := make([]string, 0, len(values))
		for _, v := range values {
			b.Add(v)
			texts = append(texts, cmp.Or(v.Raw(), "null"))
		}
		got, want := b.Value(), mustParse(t, "["+strings.Join(texts, ",")+"]")
		if got.Raw() != want.Raw() || !reflect.DeepEqual(got.Any(), want.Any()) || got.Len() != want.Len() {
			t.Errorf("%s: got %s, want %s", name, got.Raw(), want.Raw())
		}
		walk(t, got)
		for i := range values { // by the indexes, too
			if member, ok := got.At(i).Get("last"); ok && member.At(39).Raw() != `{"a":"\u00e9"}` {
				t.Errorf("%s: element %d has %s", name, i, member.At(39).Raw())
			}
		}
	}
}

func TestAWholeValueHasItsTextAlone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{` {"a": [1, {"b": "\u00e9"}]} `, `[]`, `"x"`, `-1.50`, `null`, "[" + strings.Repeat("[1],", 40) + "2]"} {
		raw, rawErr := jsonx.Check([]byte(text), jsonx.Options{})
		if rawErr != nil || string(raw) != strings.TrimSpace(text) {
			t.Errorf("%s is checked to be %s, %v", text, raw, rawErr)
		}
		v, err := jsonx.Parse([]byte(text), jsonx.Options{Whole: true})
		if err != nil || v.Raw() != strings.TrimSpace(text) || v.Kind() != mustParse(t, text).Kind() || v.Len() != 0 {
			t.Errorf("%s: %q, %v, %d, %v", text, v.Raw(), v.Kind(), v.Len(), err)
		}
	}
	for _, text := range []string{`{"a":1,"a":2}`, `[1,]`, "\"\xff\"", `[[[1]]]`} {
		options := jsonx.Options{Whole: true, Unique: true, MaxDepth: 2}
		_, err := jsonx.Parse([]byte(text), options)
		options.Whole = false
		if _, same := jsonx.Check([]byte(text), options); err == nil || err.Error() != same.Error() {
			t.Errorf("%q is checked: %v, not %v", text, same, err)
		}
		if _, same := jsonx.Parse([]byte(text), options); err == nil || err.Error() != same.Error() {
			t.Errorf("%q: %v, not %v", text, err, same)
		}
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	v := mustParse(t, `{"a": {"b": [1, 2, "x"]}, "n": 5}`)
	if n := testing.AllocsPerRun(100, func() {
		a, _ := v.Get("a")
		b, _ := a.Get("b")
		_ = b.At(2).Text()
		for e := range b.Elements() {
			_, _ = e.Int()
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzParse compares with encoding/json: what jsonx takes encoding/json takes
// and reads in the same way, and only text that is not UTF-8 or too deep is refused beyond that.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"a": [1, 2.5, -0, 1e5, "x\u0041\ud83d\ude00", null, true, {"b": {}}]}`, `"\ud800"`, `[1,]`, `{"a":1,"a":2}`, "\"\xff\"", ` [] `, `1e400`,
		`"eight by eight, \"then\" one by one: é, \n"`, "\"a control character\tthere\"", `[-0.5E+3, tru, 01, "\u12G4", "\x"`,
		`{"a":0,"b":1,"c":2,"d":3,"e":4,"f":5,"g":6,"h":7,"i":8,"j":9,"k":0,"l":0,"m":0,"n":0,"o":0,"p":0,"q":0,"a":9}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := jsonx.Parse(data, jsonx.Options{})
		whole, wholeErr := jsonx.Parse(data, jsonx.Options{Whole: true})
		if whole.Raw() != v.Raw() || whole.Kind() != v.Kind() || fmt.Sprint(wholeErr) != fmt.Sprint(err) {
			t.Fatalf("%q as a whole is %s, %q, %v, and not %s, %q, %v", data, whole.Kind(), whole.Raw(), wholeErr, v.Kind(), v.Raw(), err)
		}
		if raw, rawErr := jsonx.Check(data, jsonx.Options{}); string(raw) != v.Raw() || fmt.Sprint(rawErr) != fmt.Sprint(err) {
			t.Fatalf("%q is checked to be %q, %v, and not %q, %v", data, raw, rawErr, v.Raw(), err)
		}
		if err != nil {
			if json.Valid(data) && utf8.Valid(data) && !strings.Contains(err.Error(), "deep") {
				t.Fatalf("%q was refused: %v", data, err)
			}
			return
		}
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		var want any
		if err := decoder.Decode(&want); err != nil {
			t.Fatalf("%q was taken: %v", data, err)
		}
		if got := numbers(v.Any()); !reflect.DeepEqual(got, numbers(want)) {
			t.Fatalf("%q\n got %#v\nwant %#v", data, got, want)
		}
		if out, err := jsonx.Append(nil, v); err != nil || string(out) != strings.Trim(string(data), " \t\r\n") {
			t.Fatalf("%q was written as %q, %v", data, out, err)
		}
		out, err := jsonx.Append(nil, v.Any())
		if err != nil {
			t.Fatal(err)
		}
		again := mustParse(t, string(out))
		if !reflect.DeepEqual(again.Any(), v.Any()) {
			t.Fatalf("%q came back as %q", data, out)
		}
		walk(t, v)
	})
}

// walk compares Get and At with Members and Elements.
func walk(t *testing.T, v jsonx.Value) {
	t.Helper()
	i := 0
	for e := range v.Elements() {
		if v.At(i) != e {
			t.Fatalf("element %d is %s and %s", i, v.At(i).Raw(), e.Raw())
		}
		walk(t, e)
		i++
	}
	last := map[string]jsonx.Value{}
	for name, m := range v.Members() {
		last[name] = m
		walk(t, m)
	}
	for name, want := range last {
		if got, ok := v.Get(name); !ok || got != want {
			t.Fatalf("%q is %s and %s", name, got.Raw(), want.Raw())
		}
	}
}

// numbers makes int64 and json.Number comparable: -0 is an int to us.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n
		}
		return v
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}

// FuzzAppendString: what is written reads back, and is what encoding/json writes without HTML escaping.
func FuzzAppendString(f *testing.F) {
	f.Add("a\"\\\n<&>\u2028\xff\x00\x7f")
	f.Fuzz(func(t *testing.T, s string) {
		got := jsonx.AppendString(nil, s)
		var back string
		if err := json.Unmarshal(got, &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") && utf8.ValidString(s) {
			t.Fatalf("%q became %s: %q, %v", s, got, back, err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	data := []byte(`{"orders": [` + strings.Repeat(`{"id": 12345678, "name": "a name", "price": 12.50, "tags": ["x", "y"]},`, 200) + `{}]}`)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jsonx.Parse(data, jsonx.Options{Unique: true}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseWhole(b *testing.B) {
	data := []byte(`{"orders": [` + strings.Repeat(`{"id": 12345678, "name": "a name", "price": 12.50, "tags": ["x", "y"]},`, 200) + `{}]}`)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jsonx.Parse(data, jsonx.Options{Whole: true}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStdlibDecode(b *testing.B) {
	data := []byte(`{"orders": [` + strings.Repeat(`{"id": 12345678, "name": "a name", "price": 12.50, "tags": ["x", "y"]},`, 200) + `{}]}`)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var v any
		if err := json.Unmarshal(data, &v); err != nil {
			b.Fatal(err)
		}
	}
}
