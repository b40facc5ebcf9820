package local

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/function/local/program"
)

var (
	stormRequests = flag.Int("storm", 2, "requests that each of the storm's 500 clients sends")
	stormSeed     = flag.Uint64("storm-seed", 0, "what the storm's chance begins with; 0 for the time")
)

// TestFiveHundredClientsInAStorm lets 500 clients meet a function of at most eight
// instances that crash, hang, start slowly or not at all, are killed from outside and
// are replaced by another version meanwhile. Each request must get its own answer, or a
// problem that fits; no instance may have two requests at once, which they witness
// themselves; and nothing may be left in the end.
func TestFiveHundredClientsInAStorm(t *testing.T) {
	seed := *stormSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	for _, contract := range []program.Contract{program.Lambda, program.HTTP} {
		t.Run(string(contract), func(t *testing.T) {
			t.Logf("go test -run '%s' -args -storm %d -storm-seed %d", t.Name(), *stormRequests, seed)
			ownCache(t)
			storm(t, contract, seed)
		})
	}
}

func storm(t *testing.T, contract program.Contract, seed uint64) {
	t.Helper()
	const clients, most = 500, 8
	file, mark := filepath.Join(t.TempDir(), "storm"+filepath.Ext(os.Args[0])), fmt.Sprintf("storm-%s-%d", contract, seed)
	deploy(t, testFunction(t, "storm"), file)
	b := start(t, &records{}, func(c *Config) {
		c.Run, c.Contract, c.Timeout, c.Env = file, contract, 500*time.Millisecond, env(t, "SEED", strconv.FormatUint(seed, 10), "MARK", mark)
		c.Scale.Max, c.Scale.Concurrency, c.Scale.Idle, c.Queue.Size = most, 1, shortestIdle, clients*4/5
	})
	g := serve(t, b)
	var tally tally
	var all sync.WaitGroup
	for n := range clients {
		all.Go(func() {
			chance := rand.New(rand.NewPCG(seed, uint64(n)))
			for i := range *stormRequests {
				path, body := stormPath(contract, chance.IntN(100)), fmt.Sprintf("%d of %d", i, n)
				got, err := g.send(path, body)
				tally.count(stormVerdict(contract, path, body, got, err))
			}
		})
	}
	done := make(chan struct{})
	go func() { defer close(done); all.Wait() }()
	disturb(t, b.(*backend), file, mark, done)
	t.Log(tally.String())
	if len(tally.wrong) > 0 || tally.counts["answered"] == 0 {
		t.Errorf("%d answers are wrong, as %v", len(tally.wrong), tally.wrong[:min(3, len(tally.wrong))])
	}
	b.(*backend).pool.Close(t.Context())
	b.(*backend).unfollow()
	if left := marked(mark); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

// disturb kills instances and puts other versions in place until the storm is over.
func disturb(t *testing.T, b *backend, file, mark string, done <-chan struct{}) {
	t.Helper()
	raw, err := os.ReadFile(file)
	must(t, err)
	for version := 1; ; version++ {
		raw = append(raw, byte(version)) // what stands behind an executable changes only its digest
		beside := file + ".new"
		must(t, os.WriteFile(beside, raw, 0o700))
		must(t, os.Rename(beside, file))
		if pids := marked(mark); len(pids) > 0 {
			kill(t, pids[version%len(pids)])
		}
		if s := b.Status(); s.Busy+s.Starting > 8 {
			t.Errorf("%d instances are busy and %d start, want at most 8", s.Busy, s.Starting)
		}
		select {
		case <-done:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stormPath is what a request asks for, by chance.
func stormPath(contract program.Contract, chance int) string {
	switch {
	case chance < 3:
		return "/crash"
	case chance < 6:
		return "/hang"
	case chance < 20:
		return "/slow"
	case chance < 25:
		return "/refuse"
	case chance < 30 && contract == program.Lambda:
		return "/error"
	}
	return "/"
}

// stormVerdict says what an answer is, and whether it is a right one.
func stormVerdict(contract program.Contract, path, body string, got reply, err error) (verdict string, right bool) {
	if err != nil || got.err != nil {
		return fmt.Sprintf("%s: %v, %v", path, err, got.err), false
	}
	own := map[string]int{"/": 200, "/slow": 200, "/refuse": 418}[path]
	if got.status == own && got.body == body {
		return "answered", true
	}
	_, code, _ := strings.Cut(got.body, `"code":"`)
	code, _, _ = strings.Cut(code, `"`)
	verdict = fmt.Sprintf("%d %s", got.status, code)
	return verdict, slices.Contains(stormProblems(contract, path), verdict)
}

// stormProblems are the answers that one may get who asks for path. Any instance may
// be killed from outside.
func stormProblems(contract program.Contract, path string) []string {
	all := []string{
		"429 function-busy", "503 function-queue-timeout", "503 function-init-failed", "502 function-crashed",
		"504 function-timeout", // on a machine that is busy enough, and for /hang on all
	}
	if contract == program.HTTP {
		all = append(all, "502 backend-reset") // the connection told of the kill, and the process's end was too slow to be seen
	}
	if path == "/error" {
		all = append(all, "502 function-error")
	}
	return all
}

// tally counts answers.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
	wrong  []string
}

func (l *tally) count(verdict string, right bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = map[string]int{}
	}
	l.counts[verdict]++
	if !right {
		l.wrong = append(l.wrong, verdict)
	}
}

func (l *tally) String() string { return fmt.Sprint(l.counts) }

// marked are the processes with that mark in their environment; none where there is
// no /proc.
func marked(mark string) []int {
	files, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is well formed
	var pids []int
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(raw), "MARK="+mark+"\x00") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && alive(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}
