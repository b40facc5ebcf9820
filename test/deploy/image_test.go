package deploy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/test/weirtest"
)

// instruction is an instruction of a Dockerfile, with its continuation lines.
type instruction struct {
	name  string
	words []string
}

// stages parses a Dockerfile, as far as ours needs it.
func stages(t *testing.T) [][]instruction {
	t.Helper()
	text := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(read(t, "Dockerfile"), "")
	text = strings.ReplaceAll(text, "\\\n", " ")
	var list [][]instruction
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if words[0] == "FROM" {
			list = append(list, nil)
		}
		if len(list) == 0 {
			t.Fatalf("%s stands above the first FROM", line)
		}
		last := len(list) - 1
		list[last] = append(list[last], instruction{words[0], words[1:]})
	}
	return list
}

// one returns the words of the only instruction with a name.
func one(t *testing.T, stage []instruction, name string) []string {
	t.Helper()
	var found [][]string
	for _, i := range stage {
		if i.name == name {
			found = append(found, i.words)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d times %s", len(found), name)
	}
	return found[0]
}

func TestTheImageHoldsOneStaticProgramAndNoRoot(t *testing.T) {
	all := stages(t)
	if len(all) != 2 {
		t.Fatalf("%d stages", len(all))
	}
	image := all[1]
	if from := one(t, image, "FROM"); !slices.Equal(from, []string{"scratch"}) {
		t.Errorf("it is made from %v", from)
	}
	if user := one(t, image, "USER"); !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(strings.Join(user, " ")) {
		t.Errorf("the user %v is root, or not a number as runAsNonRoot asks for", user)
	}
	var program []string
	if err := json.Unmarshal([]byte(strings.Join(one(t, image, "ENTRYPOINT"), " ")), &program); err != nil {
		t.Errorf("without a shell the entrypoint is a list: %v", err)
	}
	copied := false
	for _, i := range image {
		if i.name == "RUN" {
			t.Errorf("there is nothing in the image that could run %v", i.words)
		}
		copied = copied || i.name == "COPY" && slices.Equal(i.words[1:], append([]string{"/out/weir"}, program...))
	}
	if !copied {
		t.Errorf("%v is not in the image", program)
	}
}

func TestTheImageIsBuiltAsReleasesAre(t *testing.T) {
	var build string
	for _, i := range stages(t)[0] {
		if line := strings.Join(i.words, " "); i.name == "RUN" && strings.Contains(line, "go build") {
			build = line
		}
	}
	for _, want := range []string{"CGO_ENABLED=0 ", " -trimpath -buildvcs=true ", `-ldflags "-s -w -buildid= -X main.version=`, " -o /out/weir ./cmd/weir"} {
		if !strings.Contains(build, want) {
			t.Errorf("no %q in %q", want, build)
		}
	}
}

func TestWhatTheImageIsBuiltOfExists(t *testing.T) {
	for _, i := range stages(t)[0] {
		if i.name != "COPY" {
			continue
		}
		for _, source := range i.words[:len(i.words)-1] {
			if _, err := os.Stat(filepath.Join(weirtest.Root(), source)); err != nil {
				t.Error(err)
			}
		}
	}
	language := strings.TrimSpace(regexp.MustCompile(`(?m)^go \d+\.\d+`).FindString(read(t, "..", "go.mod")))
	if from := one(t, stages(t)[0], "FROM"); !slices.Contains(from, "golang:"+strings.TrimPrefix(language, "go ")) {
		t.Errorf("it is built by %v, and go.mod says %q", from, language)
	}
}
