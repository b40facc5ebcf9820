package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sample is what one peer did in one case in one round.
type sample struct {
	cpu            time.Duration // per request
	user           float64       // share of cpu spent in user space
	answers        int
	lost           int
	perSecond      float64
	busy           float64 // processors that the proxy used
	p50, p99, p999 time.Duration
	longest        time.Duration
	slow           float64 // share of the answers that took more than a millisecond
	other          float64 // processors that other programs used meanwhile
	reloads        int
}

// quiet is how many processors other programs may use while a sample is taken.
const quiet = 0.15

// measure measures a server in one case.
func (b *bench) measure(k kind, s *server) (got sample, err error) {
	l, err := k.open(s, b.trust)
	if err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if _, err := b.once(k, s, l, b.time/4); err != nil { // a first run, for work that is done only once
		return sample{}, err
	}
	for range b.tries {
		written := b.profiling(k, s)
		next, err := b.once(k, s, l, b.time)
		err = errors.Join(err, written())
		if err != nil {
			return sample{}, err
		}
		if got.answers == 0 || next.other < got.other {
			got = next
		}
		if got.other < quiet {
			break
		}
	}
	return got, nil
}

// once takes one sample.
func (b *bench) once(k kind, s *server, l load, d time.Duration) (sample, error) {
	stop := func() (int, error) { return 0, nil }
	if k.reloads {
		stop = b.reloading(s)
	}
	ticks, cpu, ours, all, begun := s.ticks(), s.cpu(), b.ours(), machine(), time.Now()
	t, err := l.run(d, k.rate)
	cpu, ours, all = s.cpu()-cpu, b.ours()-ours, machine()-all
	took := time.Since(begun)
	reloads, failed := stop()
	if err := errors.Join(err, failed, s.ended()); err != nil {
		return sample{}, err
	}
	if err := t.judge(k, s); err != nil {
		return sample{}, err
	}
	got := t.sample()
	got.cpu, got.user, got.reloads = cpu/time.Duration(t.answers), s.ticks().since(ticks), reloads
	got.busy = cpu.Seconds() / took.Seconds()
	got.other = max(0, (all-ours-cpu).Seconds()/took.Seconds())
	return got, nil
}

// judge checks that every request was answered, and correctly. Requests that are lost while another peer's config
// changes are reported but not judged.
func (t tally) judge(k kind, s *server) error {
	switch {
	case t.wrong != "":
		return errors.New(t.wrong)
	case t.answers == 0:
		return errors.New("nothing is answered")
	case t.lost > 0 && (!k.reloads || s.engine != ""):
		return fmt.Errorf("%d of %d requests are lost", t.lost, t.lost+t.answers)
	}
	return nil
}

func (t tally) sample() sample {
	slices.Sort(t.waits)
	at := func(share float64) time.Duration { return t.waits[int(share*float64(len(t.waits)-1))] }
	first, _ := slices.BinarySearch(t.waits, time.Millisecond+1)
	slow := len(t.waits) - first
	return sample{
		answers: t.answers, lost: t.lost, perSecond: float64(t.answers) / t.took.Seconds(),
		p50: at(.5), p99: at(.99), p999: at(.999), longest: at(1), slow: float64(slow) / float64(len(t.waits)),
	}
}

// ours is the processor time of this program and of the origin.
func (b *bench) ours() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now) // this clock always exists
	return time.Duration(now.Nano()) + b.origin.cpu()
}

// reloading changes a server's config four times a second until it is stopped.
func (b *bench) reloading(s *server) (stop func() (int, error)) {
	ctx, cancel := context.WithCancel(context.Background())
	done, reloads := make(chan error, 1), 0
	go func() {
		tick := time.NewTicker(time.Second / 4)
		defer tick.Stop()
		var err error
		for err == nil {
			select {
			case <-ctx.Done():
				done <- nil
				return
			case <-tick.C:
				s.Generation++
				reloads++
				if err = s.write(); err == nil {
					err = s.reload(s)
				}
			}
		}
		done <- err
	}()
	return func() (int, error) {
		cancel()
		err := <-done
		return reloads, err
	}
}

// profiling has a Weir write a profile of a sample's time, if that was asked for. The function that it returns waits
// until the profile is written.
func (b *bench) profiling(k kind, s *server) (written func() error) {
	if b.profile == "" || s.engine == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() { done <- s.saveProfile(b.profile, k.name, b.time) }()
	return func() error { return <-done }
}

// saveProfile writes a profile of the next d, rounded to whole seconds, to a file of its own in folder.
func (s *server) saveProfile(folder, name string, d time.Duration) error {
	res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/profile?seconds=%d", s.Admin, max(1, int(d.Seconds()))))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("a profile of %s: %s", s.title, res.Status)
	}
	file, err := os.CreateTemp(folder, s.name+"-"+name+"-*.pb.gz")
	if err != nil {
		return err
	}
	_, err = io.Copy(file, res.Body)
	return errors.Join(err, file.Close())
}

// countAllocations counts the allocations of each Weir in each case. It comes after everything else is measured, because
// a Weir that is asked for its metrics has garbage to collect afterwards. While configs change, most allocations are not
// for requests.
func (b *bench) countAllocations(together []kind, servers []*server) error {
	for _, k := range together {
		for _, s := range servers {
			if err := b.ctx.Err(); err != nil {
				return err
			}
			if s.engine == "" || k.reloads {
				continue
			}
			each, err := b.allocationsOf(k, s)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", s.title, k.title, err)
			}
			if b.allocations[k.name] == nil {
				b.allocations[k.name] = map[string]float64{}
			}
			b.allocations[k.name][s.name] = each
		}
	}
	return nil
}

// allocationsOf returns how many allocations a Weir makes for a request in one case.
func (b *bench) allocationsOf(k kind, s *server) (each float64, err error) {
	l, err := k.open(s, b.trust)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	return s.allocations(func() (int, error) {
		t, err := l.run(b.time/2, k.rate)
		if err == nil {
			err = t.judge(k, s)
		}
		return t.answers, err
	})
}

// allocations returns how many allocations a Weir makes for each request while run runs, which returns how many
// requests were answered. What is allocated only once has been allocated when run has run for the first time.
func (s *server) allocations(run func() (int, error)) (each float64, err error) {
	var made [3]float64
	if _, err := run(); err != nil {
		return 0, err
	}
	for i := range 2 { // twice, for what asking costs
		if made[i], err = s.mallocs(); err != nil {
			return 0, err
		}
	}
	asked, err := run()
	if err != nil {
		return 0, err
	}
	if made[2], err = s.mallocs(); err != nil {
		return 0, err
	}
	asking := made[1] - made[0]
	return max(0, made[2]-made[1]-asking) / float64(asked), nil
}

// mallocs returns how many allocations a Weir has made since it started.
func (s *server) mallocs() (float64, error) {
	res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", s.Admin))
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	made, found := 0., false
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() { // to the end: otherwise the rest of the answer would be produced later
		if text, ok := strings.CutPrefix(lines.Text(), "go_memstats_mallocs_total "); ok {
			made, err = strconv.ParseFloat(text, 64)
			found = true
		}
	}
	if err == nil && !found {
		err = errors.New("the metrics do not say how many allocations there were")
	}
	return made, errors.Join(err, lines.Err())
}

// calls counts the system calls of a server per request, by name.
func (b *bench) calls(s *server) (map[string]float64, error) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return nil, errors.New("system calls are left out: strace is not installed")
	}
	l, err := newLoader(s.Plain, 64, get("/", nil, small))
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.close() }()              // its error tells nothing
	if _, err := l.run(b.time/4, 0); err != nil { // a first run: setting up connections to the origin is not measured
		return nil, err
	}
	file := filepath.Join(s.Folder, s.Name+".strace")
	argv := []string{"-c", "-f", "-q", "-o", file}
	for _, m := range s.members() {
		argv = append(argv, "-p", strconv.Itoa(m.pid))
	}
	tracing := exec.Command(strace, argv...) //nolint:noctx // it is told to end below
	if err := tracing.Start(); err != nil {
		return nil, err
	}
	s.awaitTracer()
	t, err := l.run(b.time, 0)
	_ = tracing.Process.Signal(syscall.SIGINT) // strace then writes its counts
	_ = tracing.Wait()                         // and its exit code says that it was interrupted
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return countCalls(string(text), t.answers), nil
}

// awaitTracer returns once all threads are traced.
func (s *server) awaitTracer() {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
		traced := true
		for _, m := range s.members() {
			threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", m.pid)) // the pattern is well formed
			for _, thread := range threads {
				text, err := os.ReadFile(thread)
				traced = traced && (err != nil || !strings.Contains(string(text), "\nTracerPid:\t0\n"))
			}
		}
		if traced {
			return
		}
	}
}

// callLine is a line of strace's table: share, seconds, microseconds, calls, errors, name.
var callLine = regexp.MustCompile(`(?m)^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+\d*\s*([a-z_0-9]+)$`)

func countCalls(table string, requests int) map[string]float64 {
	found := map[string]float64{}
	for _, m := range callLine.FindAllStringSubmatch(table, -1) {
		if n, _ := strconv.Atoi(m[1]); m[2] != "total" {
			found[m[2]] = float64(n) / float64(requests)
		}
	}
	return found
}
