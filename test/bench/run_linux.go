package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// options are the options of the command line.
type options struct {
	rounds  int
	time    time.Duration // of a sample
	minutes float64
	cases   string
	peers   string
	free    bool
	page    string
	idle    int
	settle  time.Duration
	tries   int
	profile string
}

// bench is one run.
type bench struct {
	options

	ctx        context.Context //nolint:containedctx // of the whole run
	out        io.Writer
	root       string
	scratch    string
	processors []int // of each proxy; none means any
	others     []int // for all other processes
	all        int
	origin     *process
	ownOrigin  *ownOrigin
	upstream   int
	trust      *tls.Config
	peers      []*peer
	missing    []string
	samples    map[string]map[string][]sample // by case and peer
	called     map[string]map[string]float64  // system calls by peer
	rooms      map[string]*room
	profiles   int // how many have been started
	begun      time.Time

	allocations map[string]map[string]float64 // for each request, by case and peer
}

// run is the command.
func run(arguments []string, out io.Writer) int {
	if what := os.Getenv(holding); what != "" {
		if err := hold(what, out, os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 5, "how often each peer is measured in each case")
	flags.DurationVar(&o.time, "time", time.Second, "how long a sample takes")
	flags.Float64Var(&o.minutes, "minutes", 12, "no round begins that would not end within so many `minutes`")
	flags.StringVar(&o.cases, "cases", "", "only these `names`: get, fields, post, 100k, 1m, tls, h2, ws, rate, filter, observed, routes1k, routes10k, reload, calls, idle")
	flags.StringVar(&o.peers, "peers", "", "only these `names`: nginx, haproxy, caddy, own, std")
	flags.BoolVar(&o.free, "free", false, "keep nobody on a processor")
	flags.StringVar(&o.page, "page", "docs/benchmarks.md", "the `file` whose figures are written, beside plots in a folder of its name; none where it is empty")
	flags.IntVar(&o.idle, "idle", 10000, "how many idle connections each peer keeps")
	flags.DurationVar(&o.settle, "settle", 30*time.Second, "for how long they are left alone before memory is looked at")
	flags.IntVar(&o.tries, "tries", 3, "how often a sample is taken beside which others took more than 0.15 processors")
	flags.StringVar(&o.profile, "profile", "", "the `folder` that gets what Weir spends its time with in each sample, for go tool pprof; figures are worth less then")
	if err := flags.Parse(arguments); err != nil || flags.NArg() > 0 {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if _, err := measureAll(ctx, o, out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// measureAll does what the options say. When it returns, the bench has been stopped.
func measureAll(ctx context.Context, o options, out io.Writer) (*bench, error) {
	b := &bench{options: o, ctx: ctx, out: out, begun: time.Now(), samples: map[string]map[string][]sample{}, called: map[string]map[string]float64{}, allocations: map[string]map[string]float64{}, rooms: map[string]*room{}}
	if err := b.prepare(); err != nil {
		return nil, err
	}
	err := b.measureRounds()
	if err == nil {
		err = b.report()
	}
	return b, errors.Join(err, b.tidyUp())
}

// wants reports whether a list contains name; an empty list stands for all names.
func wants(list, name string) bool {
	return list == "" || slices.Contains(strings.Split(list, ","), name)
}

func (b *bench) sayf(format string, about ...any) { fmt.Fprintf(b.out, format+"\n", about...) }

// prepare makes everything that exists for the whole run.
func (b *bench) prepare() (err error) {
	if b.root, err = rootFolder(); err != nil {
		return err
	}
	if b.scratch, err = os.MkdirTemp("", "weir-bench-"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.tidyUp())
		}
	}()
	if err := os.Chmod(b.scratch, 0o755); err != nil { //nolint:gosec // nginx reads files as somebody else
		return err
	}
	if err := errors.Join(moreFiles(), writeFiles(b.scratch)); err != nil {
		return err
	}
	b.peers, b.missing = theirs(b.ctx, b.scratch, b.root, func(name string) bool { return wants(b.options.peers, name) }, b.out)
	for _, why := range b.missing {
		b.sayf("%s", why)
	}
	if len(b.peers) == 0 {
		return errors.New("there is nobody to be measured")
	}
	for _, p := range b.peers {
		b.rooms[p.name] = &room{}
	}
	if err := b.place(); err != nil {
		return err
	}
	pool, err := writeCertificate(b.scratch)
	if err != nil {
		return err
	}
	b.trust = &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12}
	return b.startOrigins()
}

// rootFolder returns the folder of the repository, which may be the working directory or one above it.
func rootFolder() (string, error) {
	at, err := os.Getwd()
	for ; err == nil; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "cmd", "weir")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", errors.New("this is not run within Weir's repository")
		}
	}
	return "", err
}

// moreFiles raises the limit on open files of this process and its children as far as allowed.
func moreFiles() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, (*syscall.Rlimit)(&limit)) // set through this package, it also holds for children
}

// place gives the first processor to the proxies, which take turns, and the others to all other processes.
func (b *bench) place() error {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return err
	}
	var all []int
	for n := range 1024 {
		if set.IsSet(n) {
			all = append(all, n)
		}
	}
	b.all = len(all)
	if b.free || b.all < 2 {
		return nil
	}
	b.processors, b.others = all[:1], all[1:]
	return stayOn(b.others)
}

// cores returns how many processors each proxy has.
func (b *bench) cores() int {
	if len(b.processors) == 0 {
		return b.all
	}
	return len(b.processors)
}

func (b *bench) startOrigins() error {
	nginx := &peer{name: "nginx"}
	if err := nginx.find(b.ctx, "", "", b.out); err != nil {
		return fmt.Errorf("the origin behind all proxies is nginx: %w", err)
	}
	var err error
	if b.ownOrigin, err = startOwnOrigin(); err != nil {
		return err
	}
	if b.upstream, err = freePort(); err != nil {
		return err
	}
	config := filepath.Join(b.scratch, "origin.conf")
	if err := fill("origin.conf", config, site{Folder: b.scratch, Shared: b.scratch, Upstream: b.upstream, Small: string(bodyOf(small))}); err != nil {
		return err
	}
	b.origin, err = start(filepath.Join(b.scratch, "origin.log"), b.others, nginx.program, "-e", filepath.Join(b.scratch, "origin.err"), "-c", config)
	return err // the first proxy waits for it
}

func (b *bench) tidyUp() error {
	if b.origin != nil {
		b.origin.stop()
	}
	var err error
	if b.ownOrigin != nil {
		err = b.ownOrigin.Close()
	}
	return errors.Join(err, os.RemoveAll(b.scratch))
}

// with runs all peers with the configs of a profile while f runs.
func (b *bench) with(profile string, f func([]*server) error) (err error) {
	b.profiles++
	folder := filepath.Join(b.scratch, fmt.Sprintf("%s-%d", profile, b.profiles))
	if err := os.Mkdir(folder, 0o755); err != nil { //nolint:gosec // nginx reads it as somebody else
		return err
	}
	at := site{
		Shared: b.scratch, Folder: folder, Profile: profile, Upstream: b.upstream, Own: b.ownOrigin.port,
		Cores: b.cores(), Routes: routesOf(profile), Small: string(bodyOf(small)),
	}
	servers, errs := make([]*server, len(b.peers)), make([]error, len(b.peers))
	var starting sync.WaitGroup
	for i, p := range b.peers {
		starting.Go(func() { servers[i], errs[i] = p.start(at, b.processors) })
	}
	starting.Wait()
	defer func() {
		var stopping sync.WaitGroup
		for _, s := range servers {
			if s != nil {
				stopping.Go(s.stop)
			}
		}
		stopping.Wait()
		err = errors.Join(err, os.RemoveAll(folder))
	}()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return f(servers)
}

// measureRounds measures everything as often as time allows.
func (b *bench) measureRounds() error {
	if wants(b.cases, "idle") {
		if err := b.idling(); err != nil {
			return err
		}
	}
	for round := range b.rounds {
		at := time.Now()
		if err := b.round(round); err != nil {
			return err
		}
		b.sayf("round %d took %s", round+1, time.Since(at).Round(time.Second))
		if left := time.Duration(b.minutes*float64(time.Minute)) - time.Since(b.begun); left < time.Since(at) && round+1 < b.rounds {
			b.sayf("there is no time for more")
			break
		}
	}
	return nil
}

// round measures each peer in each case, and varies which peer is first.
func (b *bench) round(number int) error {
	var profiles []string
	wanted := map[string][]kind{}
	for _, k := range kinds() {
		if wants(b.cases, k.name) || k.profile == "base" && number == 0 && wants(b.cases, "calls") {
			if !slices.Contains(profiles, k.profile) {
				profiles = append(profiles, k.profile)
			}
		}
		if wants(b.cases, k.name) {
			wanted[k.profile] = append(wanted[k.profile], k)
		}
	}
	for _, profile := range profiles {
		measured := b.inTurn
		if number == 0 && profile == "base" {
			measured = b.lookingToo
		}
		if err := b.with(profile, func(servers []*server) error {
			err := measured(number, wanted[profile], servers)
			if err == nil && number == 0 {
				err = b.countAllocations(wanted[profile], servers)
			}
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// lookingToo measures cases, and also memory before and after, and system calls.
func (b *bench) lookingToo(number int, together []kind, servers []*server) error {
	for _, s := range servers {
		b.rooms[s.name].begun = s.memory()
	}
	if err := b.inTurn(number, together, servers); err != nil {
		return err
	}
	for _, s := range servers {
		b.rooms[s.name].worked = s.memory()
	}
	for _, s := range servers {
		if !wants(b.cases, "calls") {
			break
		}
		calls, err := b.calls(s)
		if err != nil {
			b.missing = append(b.missing, err.Error())
			b.sayf("%v", err)
			break
		}
		b.called[s.name] = calls
	}
	return nil
}

// inTurn measures cases; in each case the servers take turns.
func (b *bench) inTurn(number int, together []kind, servers []*server) error {
	for n, k := range together {
		for i := range servers {
			if err := b.ctx.Err(); err != nil {
				return err
			}
			s := servers[(i+n+number)%len(servers)]
			got, err := b.measure(k, s)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", s.title, k.title, err)
			}
			if b.samples[k.name] == nil {
				b.samples[k.name] = map[string][]sample{}
			}
			b.samples[k.name][s.name] = append(b.samples[k.name][s.name], got)
		}
	}
	return nil
}
