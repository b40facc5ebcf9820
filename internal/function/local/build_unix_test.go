//go:build unix

package local

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local/pool"
	"github.com/weir-gateway/weir/internal/function/local/program"
)

// endlessGo is a go command whose compiler never ends. It notes both, and how it was asked to end.
const endlessGo = `#!/bin/sh
cd "$NOTES" || exit
trap 'echo interrupted > asked; exit 1' INT
trap 'echo terminated > asked; exit 1' TERM
sleep 600 &
echo $$ $! > pids.new && mv pids.new pids
wait
`

// buildsForever makes the go command one that never ends, and gives where that notes what it does.
func buildsForever(t *testing.T) (notes string) {
	t.Helper()
	notes = goCommand(t, endlessGo)
	t.Setenv("NOTES", notes)
	return notes
}

// goCommand makes a script the go command, in an environment in which nothing has been built, and gives the folder where that lies.
func goCommand(t *testing.T, script string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	must(t, os.WriteFile(filepath.Join(folder, "go"), []byte(script), 0o700))
	t.Setenv("PATH", folder+string(filepath.ListSeparator)+os.Getenv("PATH"))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	return folder
}

// underWay are the go command and its compiler, once they run.
func underWay(t *testing.T, notes string) (pids []int) {
	t.Helper()
	await.That(t, "the build is under way", func() bool {
		raw, _ := os.ReadFile(filepath.Join(notes, "pids"))
		pids = nil
		for text := range strings.FieldsSeq(string(raw)) {
			pid, err := strconv.Atoi(text)
			must(t, err)
			pids = append(pids, pid)
		}
		return len(pids) == 2
	})
	return pids
}

func ends(t *testing.T, what string, pids []int) {
	t.Helper()
	await.That(t, what, func() bool {
		for _, pid := range pids {
			if !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) && !isZombie(pid) {
				return false
			}
		}
		return true
	})
}

// isZombie tells of a process whose new parent does not care, as in many containers.
func isZombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, ok := strings.Cut(string(stat), ") ")
	return err == nil && ok && rest[0] == 'Z'
}

func TestABuildEndsWithItsFunction(t *testing.T) {
	notes, definition := buildsForever(t), guarded(t)
	b := startBuild(t, definition, program.HTTP)
	pids := underWay(t, notes)
	must(t, b.Close(t.Context()))
	ends(t, "nothing of the build is left", pids)
	if asked, _ := os.ReadFile(filepath.Join(notes, "asked")); string(asked) != "interrupted\n" {
		t.Errorf("it was %q, and the go command tidies up after SIGINT alone", asked)
	}
}

func TestWhoHasWaitedTooLongForABuildIsToldSo(t *testing.T) {
	notes, definition := buildsForever(t), guarded(t)
	b, _ := startBuild(t, definition, program.HTTP).(*backend)
	underWay(t, notes)
	cfg, _ := definition.New().(*Config)
	bounds := cfg.bounds(program.HTTP)
	bounds.Wait, bounds.Preparation = time.Millisecond, 2*time.Millisecond
	b.pool.Tune(bounds)
	_, err := b.pool.Acquire(t.Context())
	if f := fault.From(err); f.Code != fault.FunctionQueueTime.Code || !strings.Contains(f.Internal, "1 not started yet, for it is being built") {
		t.Errorf("it is told %q", f.Internal)
	}
	must(t, b.Close(t.Context()))
}

// slowGo is a go command that takes its time, and gives what was built before.
const slowGo = `#!/bin/sh
while [ $# -gt 1 ] && [ "$1" != -o ]; do shift; done
[ "$1" = -o ] || exit 1 # nothing else can be asked of it
sleep 0.3 && cp "$BUILT" "$2"
`

func TestARequestWaitsForABuildLongerThanForAnInstance(t *testing.T) {
	built := testFunction(t, "web")
	definition := guarded(t)
	goCommand(t, slowGo)
	t.Setenv("BUILT", built)
	b, _ := startBuild(t, definition, program.HTTP).(*backend)
	defer func() { must(t, b.Close(t.Context())) }()
	cfg, _ := definition.New().(*Config)
	cfg.Queue.Wait = 10 * time.Millisecond
	b.Tune(cfg)
	await.That(t, "the build has begun", func() bool { return b.preparing() != "" })
	lease, err := b.pool.Acquire(t.Context())
	must(t, err)
	lease.Release(pool.Served)
}

// brokenGo is a go command that cannot build anything, which it says once it may. It notes each time.
const brokenGo = `#!/bin/sh
echo built >> "$NOTES/builds"
until [ -e "$NOTES/goes-on" ]; do sleep 0.02; done
echo "main.go:1: syntax error"
exit 1
`

func TestAllWhoWaitForABuildAreToldOnceThatItHasFailed(t *testing.T) {
	definition := guarded(t)
	notes := goCommand(t, brokenGo)
	t.Setenv("NOTES", notes)
	b, _ := startBuild(t, definition, program.Lambda).(*backend)
	defer func() { must(t, b.Close(t.Context())) }()
	const waiting = 6 // for as many instances
	told := make(chan error, waiting)
	for range waiting {
		go func() {
			_, err := b.pool.Acquire(t.Context())
			told <- err
		}()
	}
	await.That(t, "everybody waits", func() bool {
		return b.pool.Status().Queued == waiting && b.changes.serving.Load().builds.Load() == waiting+1 // who prepares it anyway
	})
	must(t, os.WriteFile(filepath.Join(notes, "goes-on"), nil, 0o600))
	for range waiting {
		if f := fault.From(<-told); f.Code != fault.FunctionInit.Code || !strings.Contains(f.Error(), "syntax error") {
			t.Errorf("it is told %v", f)
		}
	}
	builds, _ := os.ReadFile(filepath.Join(notes, "builds"))
	if n := strings.Count(string(builds), "built"); n < 1 || n > 2 { // one more, where some are told so slowly that the pause after the failure is over
		t.Errorf("it was built %d times", n)
	}
}

func TestAKilledGatewayLeavesNoBuildBehind(t *testing.T) {
	notes := buildsForever(t)
	self, err := os.Executable()
	must(t, err)
	gateway := exec.Command(self, "builder", t.TempDir())
	must(t, gateway.Start())
	t.Cleanup(func() {
		_ = gateway.Process.Kill() // where the test has not done it
		_ = gateway.Wait()
	})
	pids := underWay(t, notes)
	must(t, gateway.Process.Kill())
	ends(t, "nothing of the build is left", pids)
}

func startBuild(t *testing.T, definition function.Definition, contract program.Contract) function.Backend {
	t.Helper()
	b, err := buildOf(definition, t.TempDir(), contract)
	must(t, err)
	return b
}
