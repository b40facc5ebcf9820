package config_test

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// sources splits a test file into the files that it holds: each begins with a
// line `# file: NAME`; one without such a line is weir.yaml. The line stays, so
// that positions are those of the part.
func sources(t *testing.T, path string) []config.Source {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const mark = "# file: "
	if !strings.HasPrefix(string(data), mark) {
		return []config.Source{{Path: "weir.yaml", Data: data}}
	}
	var list []config.Source
	for part := range strings.SplitSeq("\n"+string(data), "\n"+mark) {
		if name, _, ok := strings.Cut(part, "\n"); ok {
			list = append(list, config.Source{Path: name, Data: []byte(mark + part)})
		}
	}
	return list
}

// golden compares got with the file at path, or writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update and read the difference. Got:\n%s", path, got)
	}
}

func lines(problems []doc.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}

// files gives the inputs of a directory of goldens.
func files(t *testing.T, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(pattern)
	if err != nil || len(all) == 0 {
		t.Fatalf("%s: no files (%v)", pattern, err)
	}
	var inputs []string
	for _, path := range all {
		if !strings.HasSuffix(path, ".expanded.yaml") {
			inputs = append(inputs, path)
		}
	}
	return inputs
}

func TestGoodConfigsExpandToTheirLongForm(t *testing.T) {
	for _, path := range files(t, "testdata/good/*.yaml") {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			r := config.Load(sources(t, path), vocabulary())
			if len(r.Problems) > 0 || r.Config == nil {
				t.Fatalf("problems:\n%s", lines(r.Problems))
			}
			expanded := config.Expand(r.Config, vocabulary())
			golden(t, strings.TrimSuffix(path, ".yaml")+".expanded.yaml", string(expanded))

			again := config.Load([]config.Source{{Path: "expanded.yaml", Data: expanded}}, vocabulary())
			if again.Config == nil {
				t.Fatalf("the long form does not load:\n%s\n%s", lines(again.Problems), expanded)
			}
			if !reflect.DeepEqual(placeless(r.Config), placeless(again.Config)) {
				t.Errorf("the long form loads as another config:\n%s\nwhich expands to\n%s", expanded, config.Expand(again.Config, vocabulary()))
			}
		})
	}
}

// placeless clears everything in c that says where it was written.
func placeless(c *config.Config) *config.Config {
	clearPlaces(reflect.ValueOf(c))
	return c
}

func clearPlaces(v reflect.Value) {
	switch v.Type() {
	case reflect.TypeFor[config.Origin](), reflect.TypeFor[doc.Pos](), reflect.TypeFor[config.Places](), reflect.TypeFor[map[string]config.Origin]():
		v.SetZero()
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			clearPlaces(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				clearPlaces(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			clearPlaces(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem()
			value.Set(v.MapIndex(key))
			clearPlaces(value)
			v.SetMapIndex(key, value)
		}
	default:
	}
}

func TestBrokenConfigsAreToldInWordsThatMendThem(t *testing.T) {
	for _, path := range files(t, "testdata/broken/*.yaml") {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			r := config.Load(sources(t, path), vocabulary())
			golden(t, strings.TrimSuffix(path, ".yaml")+".txt", lines(r.Problems))
			if r.Config != nil || len(r.Bad) == 0 {
				t.Errorf("config is %v and bad are %v, want none and some", r.Config, r.Bad)
			}
		})
	}
}
