//go:build !windows

package cli_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
)

// ownFolder gives what the only input has in a state folder.
func ownFolder(t *testing.T, state string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(state, "*", "index.json"))
	if err != nil || len(found) != 1 {
		t.Fatalf("there are %q (%v)", found, err)
	}
	return filepath.Dir(found[0])
}

// A gateway is there to serve: a folder that only a restart needs must not keep it from that.
func TestAStateFolderThatCannotBeUsedKeepsNobodyFromServing(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(state, own string) error
		told  []string
	}{
		"its group may write, as fsGroup makes it": {
			func(_, own string) error { return os.Chmod(own, 0o770) },
			[]string{"others than this user may write to ", "chmod -R g-w,o-w", "fsGroupChangePolicy: OnRootMismatch", "--state"},
		},
		"the shelf is no folder": {
			func(_, own string) error {
				shelf := filepath.Join(own, "shelf")
				return errors.Join(os.RemoveAll(shelf), os.WriteFile(shelf, nil, 0o600))
			},
			[]string{"is no folder", "--state"},
		},
		"nothing can be written": { // not by root either, unlike a folder without the right to
			func(state, _ string) error {
				return errors.Join(os.RemoveAll(state), os.Symlink("nowhere/at/all", state))
			},
			[]string{"state folder: ", "--state"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			path, state := filepath.Join(folder, "weir.yaml"), filepath.Join(folder, "state")
			if err := os.WriteFile(path, []byte("listen: :8080\nroutes:\n  GET /: respond:one\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			p := start(t, path, "--state", state)
			p.line("serving on ")
			p.signal(syscall.SIGTERM)
			_ = p.wait()
			if err := c.spoil(state, ownFolder(t, state)); err != nil {
				t.Fatal(err)
			}
			p = start(t, path, "--state", state)
			if got := body(t, p.line("serving on ")+"/"); got != "one" {
				t.Errorf("it answers %q", got)
			}
			p.signal(syscall.SIGTERM)
			_ = p.wait()
			if line := errorLine(p.log.String()); !containsAll(line, append(c.told, "nothing is kept for a restart")) {
				t.Errorf("the log does not say %q:\n%s", c.told, p.log.String())
			}
		})
	}
}

// What the service manager gives is nobody's mistake on a command line.
func TestAStateDirectoryThatIsAFileKeepsNobodyFromServing(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "weir.yaml")
	if err := os.WriteFile(path, []byte("listen: :8080\nroutes:\n  GET /: respond:one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("STATE_DIRECTORY", path)
	p := start(t, path)
	p.line("serving on ")
	p.signal(syscall.SIGTERM)
	_ = p.wait()
	if line := errorLine(p.log.String()); !strings.Contains(line, "nothing is kept for a restart") {
		t.Errorf("the log:\n%s", p.log.String())
	}
}

func TestAStateFlagThatNamesAFileIsAMistake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(path, []byte("listen: :8080\nroutes:\n  GET /: respond:one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, path, "--state", path)
	if end := p.wait(); end != "exit status 2" || !strings.Contains(p.log.String(), "it is a file") {
		t.Errorf("it ended with %s:\n%s", end, p.log.String())
	}
}

// One gateway to a folder and config: a second one would remove what it does not know, and write over the rest.
func TestASecondGatewayLeavesTheFolderToTheFirst(t *testing.T) {
	folder := t.TempDir()
	path, state := filepath.Join(folder, "weir.yaml"), filepath.Join(folder, "state")
	write(t, path, "listen: :8080\nroutes:\n  GET /: respond:one\n")
	first := start(t, path, "--state", state)
	url := first.line("serving on ")
	before := contents(t, state)
	write(t, path, "listen: :8080\nroutes:\n  GET /: respond:two\n  GET /two: respond:two\n")
	second := start(t, path, "--watch=false", "--state", state)
	if got := body(t, second.line("serving on ")+"/"); got != "two" {
		t.Errorf("the second one answers %q", got)
	}
	told := []string{"nothing is kept for a restart", "the process " + strconv.Itoa(first.command.Process.Pid) + " on ", "--state"}
	second.signal(syscall.SIGTERM)
	_ = second.wait() // what it has logged is all here
	if line := errorLine(second.log.String()); !containsAll(line, told) {
		t.Errorf("the log does not say %q:\n%s", told, second.log.String())
	}
	await.That(t, "the first one has seen the change", func() bool { return body(t, url+"/two") == "two" })
	await.That(t, "the first one still writes", func() bool { return contents(t, state) != before }) // after it serves
	_ = first.command.Process.Kill()
	_ = first.wait()
	third := start(t, path, "--state", state) // a lock does not outlive a process that was killed
	third.line("serving on ")
	third.signal(syscall.SIGTERM)
	_ = third.wait()
	if line := errorLine(third.log.String()); line != "" {
		t.Error(line)
	}
}

// A second gateway beside a config that cannot serve serves what served last.
func TestAFolderInOthersHandsIsRead(t *testing.T) {
	folder := t.TempDir()
	path, state := filepath.Join(folder, "weir.yaml"), filepath.Join(folder, "state")
	write(t, path, "listen: :8080\nroutes:\n  GET /: respond:good\n")
	first := start(t, path, "--watch=false", "--state", state)
	first.line("serving on ")
	write(t, path, "listen: :8080\nroutes: nonsense\n")
	second := start(t, path, "--state", state)
	if got := body(t, second.line("serving on ")+"/"); got != "good" {
		t.Errorf("it answers %q", got)
	}
	for _, p := range []*process{second, first} {
		p.signal(syscall.SIGTERM)
		_ = p.wait()
	}
}

func TestAFolderThatCannotBeWrittenIsRead(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere; TestAFolderInOthersHandsIsRead reads the same way")
	}
	folder := t.TempDir()
	path, state := filepath.Join(folder, "weir.yaml"), filepath.Join(folder, "state")
	write(t, path, "listen: :8080\nroutes:\n  GET /: respond:good\n")
	p := start(t, path, "--state", state)
	p.line("serving on ")
	p.signal(syscall.SIGTERM)
	_ = p.wait()
	write(t, path, "listen: :8080\nroutes: nonsense\n")
	if err := os.Chmod(state, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(state, 0o700) })
	p = start(t, path, "--state", state)
	if got := body(t, p.line("serving on ")+"/"); got != "good" {
		t.Errorf("it answers %q", got)
	}
	p.signal(syscall.SIGTERM)
	_ = p.wait()
	if line := errorLine(p.log.String()); !strings.Contains(line, "nothing is kept for a restart") {
		t.Errorf("the log:\n%s", p.log.String())
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// contents gives the only index of a state folder.
func contents(t *testing.T, state string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(ownFolder(t, state), "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// errorLine gives the first error of a log.
func errorLine(log string) string {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "level=ERROR") {
			return line
		}
	}
	return ""
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
