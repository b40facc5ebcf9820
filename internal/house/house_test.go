// Package house holds the rules of the building as tests: which package may
// import which, and that what the documents name exists.
package house_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/weir-gateway/weir"

// floors lists every room from the ground up. A package may import packages of
// lower floors, and of its own room. A room is a folder and all folders below it
// that no other row names.
//
// DO NOT CHANGE THIS TABLE TO MAKE A BUILD PASS. If a line of code does not fit,
// it most likely stands in the wrong room; ARCHITECTURE.md says what each is for.
var floors = [][]string{
	{"internal/base/fault", "internal/base/backoff", "internal/base/cancel", "internal/base/keep", "internal/base/statefile", "internal/base/await", "internal/base/freeport", "internal/base/notify", "internal/base/places", "internal/base/process", "internal/base/room", "internal/base/poison", "internal/base/field"},
	{"internal/base/httpx", "internal/base/jsonx", "internal/base/shelf", "internal/base/queue", "internal/base/edits"},
	{"internal/base/exchange", "internal/base/secret", "internal/base/pattern"},
	{"internal/base/forward", "internal/base/sigv4", "internal/base/loopback", "internal/base/sockets", "internal/base/template", "internal/base/expr", "internal/base/telemetry", "internal/base/egress", "internal/base/registry"},
	{"internal/config/doc"},
	{"internal/config"},
	{"internal/wire"},
	{"internal/auth", "internal/cloud", "internal/function/form"},
	{"internal/filter", "internal/discovery", "internal/function", "internal/health"},
	{"internal/traffic/route", "internal/traffic/variant", "internal/traffic/dir", "internal/traffic/proxy", "internal/traffic/service", "internal/traffic/compose", "internal/traffic/lambdaapi", "internal/traffic/registryapi"},
	{"internal/traffic/snapshot"},
	{"internal/control/source", "internal/control/compile", "internal/control/gatewayapi", "internal/control/explain"},
	{"internal/control/expect", "internal/control/history", "internal/control/invoke"},
	{"internal/control/reconcile"},
	{"internal/control/follow"},
	{"internal/control/admin"},
	{"internal/app", "internal/register"},
	{"internal/cli"},
	{"cmd"},
	{"test"},
}

// contracts are the rooms that hold a contract and its implementations: the
// children import their parent, `all` imports the children, and the children
// never import each other.
var contracts = []string{"internal/auth", "internal/filter", "internal/discovery", "internal/function"}

// forTests are packages for tests: nothing that is linked into the program imports them.
var forTests = []string{"internal/base/await", "internal/base/freeport", "internal/wire/http1/http1test", "internal/wire/secure/securetest", "internal/base/egress/egresstest", "internal/traffic/registryapi/registryapitest", "internal/discovery/discoverytest"}

// yamlFree must not know how configs are written.
var yamlFree = []string{"internal/base", "internal/wire", "internal/traffic"}

// imports reads the import lists of every Go file below the module's root.
// It parses the files itself: a test that asks `go list` stays green in Go's
// test cache when a file changes.
func imports(t *testing.T) map[string]map[string][]string {
	t.Helper()
	root := filepath.Join("..", "..")
	byPackage := map[string]map[string][]string{} // package folder -> import -> files
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipFolder(root, name)
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		folder := path.Dir(filepath.ToSlash(rel))
		if byPackage[folder] == nil {
			byPackage[folder] = map[string][]string{}
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			byPackage[folder][imported] = append(byPackage[folder][imported], filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(byPackage) < 20 {
		t.Fatalf("only %d packages found: this test looks in the wrong place", len(byPackage))
	}
	return byPackage
}

// skipFolder leaves out what is not the main module's own code.
func skipFolder(root, name string) error {
	base := filepath.Base(name)
	if base == "testdata" || (strings.HasPrefix(base, ".") && name != root) {
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil && name != root {
		return filepath.SkipDir
	}
	return nil
}

// floorOf finds the most precise row for a folder, -1 for none.
func floorOf(folder string) (floor int, room string) {
	floor = -1
	for i, rooms := range floors {
		for _, r := range rooms {
			if (folder == r || strings.HasPrefix(folder, r+"/")) && len(r) > len(room) {
				floor, room = i, r
			}
		}
	}
	return floor, room
}

func TestImportsRunDownwards(t *testing.T) {
	for folder, imported := range imports(t) {
		if folder == "internal/house" {
			continue
		}
		floor, room := floorOf(folder)
		if floor < 0 {
			t.Errorf("%s stands on no floor: give it a row in floors and a paragraph in ARCHITECTURE.md", folder)
			continue
		}
		for name, files := range imported {
			target, ok := strings.CutPrefix(name, module+"/")
			if !ok {
				continue
			}
			targetFloor, targetRoom := floorOf(target)
			switch {
			case targetFloor < floor:
			case room == targetRoom && !slices.Contains(contracts, room):
			case room == targetRoom && allowedInContract(room, folder, target):
			default:
				t.Errorf("%s (floor %d) imports %s (floor %d): imports run downwards; move the code or pass it in from above",
					files[0], floor, target, targetFloor)
			}
		}
	}
}

// allowedInContract: a child imports the contract, `all` imports everyone, and a
// child's own sub-packages belong to the child.
func allowedInContract(room, folder, target string) bool {
	child := func(folder string) string {
		first, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(folder, room), "/"), "/")
		return first
	}
	return target == room || child(folder) == "all" || child(folder) == child(target)
}

func TestTrafficKnowsNoYAML(t *testing.T) {
	for folder, imported := range imports(t) {
		for _, free := range yamlFree {
			if folder != free && !strings.HasPrefix(folder, free+"/") {
				continue
			}
			for name, files := range imported {
				if strings.Contains(name, "yaml") {
					t.Errorf("%s imports %s: only internal/config knows how configs are written", files[0], name)
				}
			}
		}
	}
}

func TestTheProgramHoldsNothingForTests(t *testing.T) {
	for folder, imported := range imports(t) {
		if slices.Contains(forTests, folder) || strings.HasPrefix(folder, "test/") {
			continue
		}
		for name, files := range imported {
			if name == "testing" || slices.Contains(forTests, strings.TrimPrefix(name, module+"/")) {
				t.Errorf("%s imports %s, which is for tests alone", files[0], name)
			}
		}
	}
}

func TestMainIsNothingElse(t *testing.T) {
	for name, files := range imports(t)["cmd/weir"] {
		if strings.HasPrefix(name, module+"/") && name != module+"/internal/cli" {
			t.Errorf("%s imports %s: cmd/weir calls internal/cli and nothing else", files[0], name)
		}
	}
}

// TestArchitectureNamesEveryRoom keeps the map and the territory together.
func TestArchitectureNamesEveryRoom(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for _, rooms := range floors {
		for _, room := range rooms {
			if !strings.Contains(text, "`"+room+"`") {
				t.Errorf("ARCHITECTURE.md has no paragraph on `%s`", room)
			}
		}
	}
	for quoted := range strings.SplitSeq(text, "`") {
		if !strings.HasPrefix(quoted, "internal/") && !strings.HasPrefix(quoted, "docs/") && !strings.HasPrefix(quoted, "test/") {
			continue
		}
		if strings.ContainsAny(quoted, "*{ \n") {
			continue
		}
		if _, err := os.Stat(filepath.Join("..", "..", quoted)); err != nil {
			t.Errorf("ARCHITECTURE.md names %s, which does not exist", quoted)
		}
	}
}

// TestEveryProblemHasItsPage: a code is a promise, and its page is where a client is sent.
func TestEveryProblemHasItsPage(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "problems", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{"README": true}
	for _, kind := range kinds() {
		seen[kind] = true
		raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "problems", kind+".md"))
		if err != nil {
			t.Errorf("problem %s has no page: %v", kind, err)
			continue
		}
		for _, section := range []string{"# " + kind, "## What it means", "## What to do", "## What operators do"} {
			if !strings.Contains(string(raw), section) {
				t.Errorf("docs/problems/%s.md has no %q", kind, section)
			}
		}
	}
	for _, page := range pages {
		if code := strings.TrimSuffix(filepath.Base(page), ".md"); !seen[code] {
			t.Errorf("docs/problems/%s.md describes no problem of the table in internal/base/fault", code)
		}
	}
}

// TestEveryDecisionHasItsRow: a decision is found by its question, and by a number that no
// other has.
func TestEveryDecisionHasItsRow(t *testing.T) {
	folder := filepath.Join("..", "..", "docs", "decisions")
	index, err := os.ReadFile(filepath.Join(folder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(folder, "[0-9]*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatal("there are no decisions", err)
	}
	holder := map[string]string{}
	for _, page := range pages {
		name := filepath.Base(page)
		number, _, _ := strings.Cut(name, "-")
		if other := holder[number]; other != "" {
			t.Errorf("%s and %s have the same number", other, name)
		}
		holder[number] = name
		if row := fmt.Sprintf("| [%s](%s) |", number, name); !strings.Contains(string(index), row) {
			t.Errorf("docs/decisions/README.md has no row that begins with %q", row)
		}
	}
}
