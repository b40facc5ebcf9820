package functions

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

var rounds = flag.Int("rounds", 2, "how often the bench measures each pair; make bench-functions has 100") //nolint:gochecknoglobals // that is what flags are

func TestMain(m *testing.M) {
	code := m.Run()
	weirtest.Cleanup()
	os.Exit(code)
}

// TestFiguresOfFunctions measures what Weir adds to functions. Each figure is paired with that of a bare Runtime API
// (./bare), which runs the same program and serves the same client in the same second. The test prints the figures,
// and judges answers only.
func TestFiguresOfFunctions(t *testing.T) {
	folder := t.TempDir()
	lambda, bare := compiled(t, folder, "lambda", "bootstrap"), compiled(t, folder, "bare", "bare")
	node, err := filepath.Abs("bare/node")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(folder, "weir.yaml")
	text := fmt.Sprintf(`listen: :8080
routes:
  ANY /warm/**: fn:warm
  ANY /cold/**: fn:cold
  ANY /eight/**: fn:eight
  ANY /node/**: fn:node
functions:
  warm: { run: %[1]s, scale: { min: 1, max: 1 } }
  cold: { run: %[1]s, scale: { idle: 100ms } }
  eight: { run: %[1]s, scale: { max: 8, idle: 100ms } }
  node: { run: %[2]s, contract: lambda, scale: { idle: 100ms } }
`, lambda, node)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g := weirtest.Start(t, config)
	b := &bench{TB: t, weir: "http://" + g.Address, admin: "http://" + g.Admin, pid: g.PID(), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}}
	t.Cleanup(b.client.CloseIdleConnections)
	b.warm(startBare(t, bare, lambda))
	b.cold("Go", "cold", startBare(t, bare, lambda))
	if command, err := exec.LookPath("node"); err == nil {
		b.cold("Node.js", "node", startBare(t, bare, command, filepath.Join(node, "bootstrap.mjs")))
	}
	b.scale()
	b.sixteen()
}

// compiled builds a program of this module.
func compiled(t *testing.T, folder, from, name string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if out, err := exec.Command("go", "build", "-o", path, "./"+from).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// opponent is a running bare Runtime API.
type opponent struct {
	url string
	pid int
}

func startBare(t *testing.T, bare string, program ...string) opponent {
	t.Helper()
	cmd := exec.Command(bare, program...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // this ends the process
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return opponent{"http://" + strings.TrimSpace(address), cmd.Process.Pid}
}

type bench struct {
	testing.TB

	weir, admin string
	pid         int
	client      *http.Client
}

// ask sends one request, which must be answered with its own body, and returns the time that it took.
func (b *bench) ask(url string) time.Duration {
	b.Helper()
	begin := time.Now()
	res, err := b.client.Post(url, "text/plain", strings.NewReader("hello"))
	if err != nil {
		b.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	took := time.Since(begin)
	_ = res.Body.Close()
	if err != nil || res.StatusCode != http.StatusOK || string(body) != "hello" {
		b.Fatalf("%s answered %d %q, %v", url, res.StatusCode, body, err)
	}
	return took
}

// side is the cost of one side of a pair.
type side struct{ median, cpu time.Duration }

// invokes is how many requests each side answers in a round.
const invokes = 50

func (b *bench) side(url string, pid int) side {
	b.Helper()
	took := make([]time.Duration, invokes)
	before := cpuOf(b, pid)
	for i := range took {
		took[i] = b.ask(url)
	}
	return side{median(took), (cpuOf(b, pid) - before) / invokes}
}

// warm compares the answers of a warm function, and the CPU time of the two servers.
func (b *bench) warm(against opponent) {
	b.Helper()
	b.ask(b.weir + "/warm/")
	b.ask(against.url)
	var with, without, more []side
	for range *rounds {
		one, other := b.side(b.weir+"/warm/", b.pid), b.side(against.url, against.pid)
		with, without, more = append(with, one), append(without, other), append(more, side{one.median - other.median, one.cpu - other.cpu})
	}
	latency, cpu := func(s side) time.Duration { return s.median }, func(s side) time.Duration { return s.cpu }
	b.Logf("warm Go Lambda, median of %d rounds of %d invokes each:", *rounds, invokes)
	b.Logf("  latency  weir %v, bare %v, difference %v (quartiles %v)", middle(with, latency), middle(without, latency), middle(more, latency), quartiles(more, latency))
	b.Logf("  CPU      weir %v, bare %v, difference %v (quartiles %v)", middle(with, cpu), middle(without, cpu), middle(more, cpu), quartiles(more, cpu))
}

// cold compares first answers of a program that does not run yet.
func (b *bench) cold(name, function string, against opponent) {
	b.Helper()
	var with, without, more []time.Duration
	ours := func() time.Duration {
		b.awaitNone(function)
		return b.ask(b.weir + "/" + function + "/")
	}
	theirs := func() time.Duration {
		res, err := b.client.Post(against.url+"/end", "", nil)
		if err != nil {
			b.Fatal(err)
		}
		_ = res.Body.Close()
		return b.ask(against.url)
	}
	for n := range *rounds {
		var one, other time.Duration
		if n%2 == 0 { // whichever is second finds the program's pages in memory
			one, other = ours(), theirs()
		} else {
			other, one = theirs(), ours()
		}
		with, without, more = append(with, one), append(without, other), append(more, one-other)
	}
	all := func(d time.Duration) time.Duration { return d }
	b.Logf("cold start of %s, median of %d: weir %v, bare %v, difference %v (quartiles %v)",
		name, *rounds, middle(with, all), middle(without, all), middle(more, all), quartiles(more, all))
}

// scale sends eight requests at once to a function without instances: each must be served by another instance.
func (b *bench) scale() {
	b.Helper()
	const held = 100 * time.Millisecond
	var more []time.Duration
	for range *rounds {
		b.awaitNone("eight")
		var mu sync.Mutex
		pids := map[int]bool{}
		var clients sync.WaitGroup
		begin := time.Now()
		for range 8 {
			clients.Go(func() {
				res, err := b.client.Get(b.weir + "/eight/hold")
				if err != nil {
					b.Error(err)
					return
				}
				defer func() { _ = res.Body.Close() }()
				var answer struct{ PID int }
				if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusOK {
					b.Errorf("%d, %v", res.StatusCode, err)
				}
				mu.Lock()
				defer mu.Unlock()
				pids[answer.PID] = true
			})
		}
		clients.Wait()
		if len(pids) != 8 {
			b.Logf("%d instances answered 8 requests at once", len(pids))
			continue
		}
		more = append(more, time.Since(begin)-held)
	}
	all := func(d time.Duration) time.Duration { return d }
	b.Logf("from 0 to 8 instances, all of which have answered, median of %d: %v (quartiles %v)", len(more), middle(more, all), quartiles(more, all))
}

// sixteen has 16 clients share eight instances.
func (b *bench) sixteen() {
	b.Helper()
	var clients sync.WaitGroup
	begin := time.Now()
	each := 20 * *rounds
	for range 16 {
		clients.Go(func() {
			for range each {
				res, err := b.client.Post(b.weir+"/eight/", "text/plain", strings.NewReader("hello"))
				if err != nil {
					b.Error(err)
					return
				}
				if body, err := io.ReadAll(res.Body); err != nil || string(body) != "hello" {
					b.Errorf("%d %q, %v", res.StatusCode, body, err)
				}
				_ = res.Body.Close()
			}
		})
	}
	clients.Wait()
	b.Logf("16 clients over 8 instances: %d requests, %.0f/s, failed: %v", 16*each, float64(16*each)/time.Since(begin).Seconds(), b.Failed())
}

// awaitNone waits until the function has no instance.
func (b *bench) awaitNone(function string) {
	b.Helper()
	await.That(b, "no instance of "+function+" is left", func() bool {
		res, err := b.client.Get(b.admin + "/metrics")
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		raw, err := io.ReadAll(res.Body)
		if err != nil {
			b.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			if strings.HasPrefix(line, `weir_function_instances{function="`+function+`"`) && !strings.HasSuffix(line, " 0\n") {
				return false
			}
		}
		return true
	})
}

// cpuOf returns the CPU time of a process's threads so far (proc_pid_schedstat: nanoseconds).
func cpuOf(tb testing.TB, pid int) time.Duration {
	tb.Helper()
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // the pattern is well formed
	var sum int64
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		first, _, _ := bytes.Cut(raw, []byte(" "))
		n, err := strconv.ParseInt(string(first), 10, 64)
		if err != nil {
			tb.Fatal(err)
		}
		sum += n
	}
	return time.Duration(sum)
}

func median(all []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(all))[len(all)/2]
}

func picked[T any](all []T, pick func(T) time.Duration) []time.Duration {
	values := make([]time.Duration, 0, len(all))
	for _, one := range all {
		values = append(values, pick(one))
	}
	slices.Sort(values)
	return values
}

func middle[T any](all []T, pick func(T) time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	return picked(all, pick)[len(all)/2].Round(time.Microsecond)
}

func quartiles[T any](all []T, pick func(T) time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	values := picked(all, pick)
	return fmt.Sprintf("%v to %v", values[len(values)/4].Round(time.Microsecond), values[len(values)*3/4].Round(time.Microsecond))
}
