package secret_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/secret"
)

func TestParseFindsReferencesInText(t *testing.T) {
	for text, want := range map[string][]secret.Part{
		"":                            nil,
		"plain":                       {{Text: "plain"}},
		"${env:TOKEN}":                {{Source: "env", Text: "TOKEN"}},
		"Bearer ${env:A}-${file:/b}!": {{Text: "Bearer "}, {Source: "env", Text: "A"}, {Text: "-"}, {Source: "file", Text: "/b"}, {Text: "!"}},
		"cost $5 and $${x}":           {{Text: "cost $5 and ${x}"}},
		"$$${env:A}":                  {{Text: "$${env:A}"}},
	} {
		got, err := secret.Parse(text)
		if err != nil || fmt.Sprint(got.Parts) != fmt.Sprint(want) {
			t.Errorf("%q: got %v, %v, want %v", text, got.Parts, err, want)
		}
	}
}

func TestParseTellsWhereAReferenceIsWrong(t *testing.T) {
	for text, offset := range map[string]int{
		"${env:A": 0, "a ${vault:x}": 2, "${env:}": 0, "${A}": 0, "ab${env:A B}": 2,
	} {
		_, err := secret.Parse(text)
		var syntax *secret.SyntaxError
		if !errors.As(err, &syntax) || syntax.Offset != offset || !strings.Contains(syntax.Text+"env", "env") {
			t.Errorf("%q: got %v, want a syntax error at %d", text, err, offset)
		}
	}
}

func TestResolveReadsVariablesAndFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("WEIR_TEST_TOKEN", "from-env")
	template := parse(t, "a ${env:WEIR_TEST_TOKEN} b ${file:"+file+"}")
	v, err := secret.Resolve(template)
	if err != nil || v.Reveal() != "a from-env b from-file" {
		t.Errorf("got %q, %v", v.Reveal(), err)
	}
}

func TestRelativeFilesAreRelativeToTheirConfig(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "token"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	template := parse(t, "${file:token}")
	template.Base = folder
	if v, err := secret.Resolve(template); err != nil || v.Reveal() != "mine" {
		t.Errorf("got %q, %v", v.Reveal(), err)
	}
}

func TestResolveRefusesWhatIsMissingAndNamesOnlyTheReference(t *testing.T) {
	t.Setenv("WEIR_TEST_EMPTY", "")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(large, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, reference := range []string{
		"${env:WEIR_TEST_EMPTY}", "${env:WEIR_TEST_UNSET_}", "${file:" + empty + "}", "${file:" + large + "}",
		"${file:" + t.TempDir() + "}", "${file:/no/such/file}",
	} {
		_, err := secret.Resolve(parse(t, "hush-hush "+reference))
		if err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: got %v, want an error without the literal part", reference, err)
		}
	}
}

func TestNoWayOfPrintingShowsASecret(t *testing.T) {
	v := secret.NewValue("swordfish")
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "v", v, "p", &v)
	encoded, err := json.Marshal(map[string]any{"v": v, "p": &v})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprint(v), fmt.Sprintf("%v %+v %#v %s %q %x", v, v, v, v, v, v), fmt.Sprintf("%v %#v", &v, struct{ V secret.Value }{v}),
		string(encoded), logged.String(), parse(t, "swordfish ${env:X}").String(),
	} {
		if strings.Contains(text, "swordfish") || strings.Contains(text, "73776f7264") {
			t.Errorf("a secret shows in %q", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "${env:A}", "$${", "${", "a${file:/x}b", "${env:${env:A}}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		template, err := secret.Parse(text)
		if err != nil {
			return
		}
		for _, p := range template.Parts {
			if p.Text == "" || (p.Source != "" && p.Source != "env" && p.Source != "file") {
				t.Errorf("%q: part %+v", text, p)
			}
		}
	})
}

func parse(t *testing.T, text string) secret.Template {
	t.Helper()
	template, err := secret.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return template
}
