package docs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/freeport"
	"github.com/weir-gateway/weir/test/weirtest"
)

// TestConsoleBlocksShowWhatTheBinaryAnswers runs the commands of README.md, of the example shop's own page and of the
// pages in docs while the shop serves.
func TestConsoleBlocksShowWhatTheBinaryAnswers(t *testing.T) {
	s := startShop(t)
	seen := 0
	for _, p := range pages(t) {
		if p.name != "README.md" && p.name != "examples/shop/README.md" && !strings.HasPrefix(p.name, "docs/") {
			continue
		}
		for _, b := range p.blocks {
			if b.info == "console" {
				seen++
				s.hold(t, b)
			}
		}
		p.save(t)
	}
	if seen == 0 {
		t.Error("there is no console block on any page")
	}
}

// command is one line of a console block with the output that it shows.
type command struct {
	line  string // without "$ "
	at    int    // of the line within the block, from 0
	shown []string
}

const prompt = "$ "

// commands parses a console block.
func (b *block) commands() ([]command, error) {
	var list []command
	for i, line := range b.lines {
		switch text, ok := strings.CutPrefix(line, prompt); {
		case ok:
			list = append(list, command{line: text, at: i})
		case len(list) == 0:
			return nil, errors.New("output stands before the first command")
		default:
			last := &list[len(list)-1]
			last.shown = append(last.shown, line)
		}
	}
	return list, nil
}

// hold compares every output of a block with the real one.
func (s *shop) hold(t *testing.T, b *block) {
	t.Helper()
	list, err := b.commands()
	if err != nil {
		t.Errorf("%s: %v", b.at(0), err)
		return
	}
	same := true
	var lines []string
	for _, c := range list {
		out, err := s.run(c.line)
		if err != nil {
			t.Errorf("%s: %s: %v", b.at(c.at), c.line, err)
			return
		}
		if slices.Equal(masked(out), masked(c.shown)) {
			out = c.shown // its ids and times differ, and are correct too
		} else {
			same = false
			if !*update {
				t.Errorf("%s: `%s` answers\n%s\nbut the page shows\n%s", b.at(c.at), c.line, strings.Join(out, "\n"), strings.Join(c.shown, "\n"))
			}
		}
		lines = append(append(lines, prompt+c.line), out...)
	}
	if !same && *update {
		b.replace(lines)
	}
}

// masks are what differs from one run to the next.
var masks = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`"request_id":\s*"[0-9a-f]{32}"`), `"request_id":"(id)"`},
	{regexp.MustCompile(`\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})`), "(time)"},
	{regexp.MustCompile(`^(Etag|Last-Modified): .*`), "$1: (masked)"},
	{regexp.MustCompile(`RequestId: [0-9a-f-]{36}`), "RequestId: (id)"},
	{regexp.MustCompile(`\d+\.\d+ ms|took=\S+`), "(took)"},
	{regexp.MustCompile(`Max Memory Used: \d+ MB`), "(memory)"},
	{regexp.MustCompile(`\d+ instances?, \d+ busy, \d+ queued(, version [0-9a-f]{12})?`), "(instances)"},
}

func masked(lines []string) []string {
	list := slices.Clone(lines)
	for i := range list {
		for _, m := range masks {
			list[i] = m.pattern.ReplaceAllString(list[i], m.by)
		}
	}
	return list
}

// shop is the running example.
type shop struct {
	binary string
	hosts  map[string]string // names on the pages to real addresses
	paths  *strings.Replacer // the name of the started config to its name on the pages
}

// startShop serves examples/shop on ports that the system chooses.
func startShop(t *testing.T) *shop {
	t.Helper()
	catalog := freeport.Address(t)
	s := startExample(t, "shop", "127.0.0.1:9000", catalog)
	s.hosts["localhost:9000"] = catalog
	s.awaitFunctions(t, "/orders/1", "/offers/tea", "/stock")
	return s
}

// startExample serves an example on free ports. moved lists its other addresses, each followed by its replacement.
func startExample(t *testing.T, name string, moved ...string) *shop {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join(root, "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "weir.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "weir.yaml")
	there := strings.NewReplacer(append(moved, "./", filepath.ToSlash(folder)+"/")...).Replace(string(text))
	if err := os.WriteFile(config, []byte(there), 0o600); err != nil {
		t.Fatal(err)
	}
	back := []string{config, "examples/" + name + "/weir.yaml"}
	for i := 0; i < len(moved); i += 2 {
		back = append(back, moved[i+1], moved[i])
	}
	g := weirtest.Start(t, config)
	s := &shop{binary: weirtest.Binary(t), hosts: map[string]string{"localhost:8081": g.Admin}, paths: strings.NewReplacer(back...)}
	for name, address := range s.sockets(t) {
		if name == "127.0.0.1:8080" {
			s.hosts["localhost:8080"] = address
		}
	}
	return s
}

// The README of the example in five languages, if their interpreters are installed.
func TestThePolyglotExampleAnswersAsItsPageSays(t *testing.T) {
	for _, interpreter := range []string{"node", "python3"} {
		if _, err := exec.LookPath(interpreter); err != nil {
			t.Skip(err)
		}
	}
	s := startExample(t, "polyglot")
	s.awaitFunctions(t, "/go/x", "/node/x", "/python/x", "/wasm/x", "/azure/x")
	for _, p := range pages(t) {
		if p.name != "examples/polyglot/README.md" {
			continue
		}
		for _, b := range p.blocks {
			if b.info == "console" {
				s.hold(t, b)
			}
		}
		p.save(t)
	}
}

// The README of the example with a function that runs here and at AWS; Weir's own API stands in for AWS.
func TestTheLambdaExampleAnswersAsItsPageSays(t *testing.T) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "here", "AWS_SECRET_ACCESS_KEY": "here", "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Setenv(name, value)
	}
	s := startExample(t, "lambda", "127.0.0.1:9001", freeport.Address(t), "../shop", filepath.ToSlash(absolute(t, filepath.Join(root, "examples", "shop"))))
	s.awaitFunctions(t, "/here/1", "/there/1")
	for _, p := range pages(t) {
		if p.name != "examples/lambda/README.md" {
			continue
		}
		for _, b := range p.blocks {
			if b.info == "console" {
				s.hold(t, b)
			}
		}
		p.save(t)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// sockets asks the admin API where the gateway actually listens.
func (s *shop) sockets(t *testing.T) map[string]string {
	t.Helper()
	answer, err := s.curl([]string{"localhost:8081/v1/status"})
	if err != nil {
		t.Fatal(err)
	}
	var status struct {
		Sockets map[string]string `json:"sockets"`
	}
	if err := json.Unmarshal(answer, &status); err != nil {
		t.Fatal(err)
	}
	return status.Sockets
}

// awaitFunctions waits until the functions are built. On a machine that has not built them before, that takes longer
// than a request waits.
func (s *shop) awaitFunctions(t *testing.T, paths ...string) {
	t.Helper()
	deadline := time.After(5 * time.Minute)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for _, path := range paths {
		for {
			answer, err := s.curl([]string{"-i", "localhost:8080" + path})
			if err == nil && bytes.HasPrefix(answer, []byte("HTTP/1.1 200")) {
				break
			}
			select {
			case <-again.C:
			case <-deadline:
				t.Fatalf("%s does not answer with 200: %v\n%s", path, err, answer)
			}
		}
	}
}

// run returns the lines that a command prints.
func (s *shop) run(line string) ([]string, error) {
	words, err := split(line)
	if err != nil {
		return nil, err
	}
	var out []byte
	switch {
	case len(words) > 0 && words[0] == "curl":
		out, err = s.curl(words[1:])
	case len(words) > 0 && words[0] == "weir":
		out, err = s.weir(words[1:])
	case len(words) > 3 && slices.Equal(words[:3], []string{"go", "run", "./cmd/weir"}):
		out, err = s.weir(words[3:])
	default:
		err = errors.New("only curl, weir and go run ./cmd/weir are run here")
	}
	if err != nil {
		return nil, err
	}
	text := strings.TrimRight(strings.ReplaceAll(s.paths.Replace(string(out)), "\r\n", "\n"), "\n")
	if text == "" {
		return nil, nil
	}
	return strings.Split(text, "\n"), nil
}

// weir runs the binary in the root of the repository. If it fails, its output shows that; only if it could not be run
// there is an error.
func (s *shop) weir(arguments []string) ([]byte, error) {
	if len(arguments) > 0 && arguments[0] == "run" {
		return nil, errors.New("`weir run` does not end; show it in an indented block")
	}
	c := exec.Command(s.binary, arguments...) //nolint:noctx // it ends
	c.Dir = root
	out, err := c.CombinedOutput()
	if _, failed := errors.AsType[*exec.ExitError](err); failed {
		err = nil
	}
	return out, err
}

// split splits a command as a shell would, for words and quotes; any other shell syntax is an error.
func split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, quote := false, rune(0)
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			inWord, quote = true, c
		case c == ' ':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		case strings.ContainsRune("|&;<>$`\\*#()", c):
			return nil, errors.New("a console block holds plain commands; quote " + string(c))
		default:
			inWord = true
			word.WriteRune(c)
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote is not closed")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

func TestCommandsAreSplitAsAShellDoes(t *testing.T) {
	for line, want := range map[string][]string{
		"curl -i localhost:8080/a":  {"curl", "-i", "localhost:8080/a"},
		"curl  'a&b=\"c d\"' \"e\"": {"curl", `a&b="c d"`, "e"},
		"weir explain x -H'A: b'":   {"weir", "explain", "x", "-HA: b"},
		"weir ''":                   {"weir", ""},
		"":                          nil,
	} {
		if got, err := split(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is split into %q (%v), want %q", line, got, err, want)
		}
	}
	for _, line := range []string{"curl a | jq", "curl a&b", "curl 'a", "curl $HOME"} {
		if got, err := split(line); err == nil {
			t.Errorf("%s is split into %q, want an error", line, got)
		}
	}
}

func TestConsoleBlocksAreTakenApart(t *testing.T) {
	p := parsePage("x.md", "```console\n$ curl a\none\n\ntwo\n$ curl b\n```\n```console\nlost\n$ curl c\n```\n")
	got, err := p.blocks[0].commands()
	if err != nil || len(got) != 2 || got[0].line != "curl a" || !slices.Equal(got[0].shown, []string{"one", "", "two"}) ||
		got[1].line != "curl b" || got[1].at != 4 || got[1].shown != nil {
		t.Errorf("the commands are %+v (%v)", got, err)
	}
	if got, err := p.blocks[1].commands(); err == nil {
		t.Errorf("output before a command gives %+v", got)
	}
}

func TestIdsAndTimesAreMasked(t *testing.T) {
	got := masked([]string{
		`{"code":"x","request_id":"0123456789abcdef0123456789abcdef"}`,
		"time=2026-11-23T09:12:54.844Z level=INFO", "Etag: \"1-2\"", "X-Etag: 7",
	})
	want := []string{`{"code":"x","request_id":"(id)"}`, "time=(time) level=INFO", "Etag: (masked)", "X-Etag: 7"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
