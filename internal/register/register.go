// Package register runs any program as a registered service. It starts the program, waits until it is healthy,
// registers it and sends heartbeats. It removes the program from the registry before it asks it to end, and starts it
// again when it dies or is no longer healthy.
//
//   - register.go: one program, from its first start to its end.
//   - health.go: whether the program answers.
//   - lease.go: the program's registration.
package register

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
	"github.com/weir-gateway/weir/internal/base/process"
	"github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/discovery/registry/remote"
)

// Restart says when a program that has ended by itself is started again.
type Restart string

// The values of Restart.
const (
	Always    Restart = "always"
	OnFailure Restart = "on-failure" // if its exit code is not 0
	Never     Restart = "never"
)

// Options say what to run and how to register it.
type Options struct {
	Service  string
	Instance Instance
	Registry *remote.Client
	Host     *process.Host // open
	Path     string        // of the program, absolute
	Args     []string
	Dir      string
	Env      []string // the whole environment, without PORT
	Output   *[2]*os.File
	Health   Health
	// Start is how long the program may take to become healthy.
	Start time.Duration
	// Drain is how long the program goes on after it was removed from the registry. Stop is how long it may take to end
	// once it was asked to.
	Drain, Stop time.Duration
	Restart     Restart
	Log         *slog.Logger
}

// Instance is what the registry is told. The zero values mean the registry's own defaults.
type Instance struct {
	Address netip.Addr // the zero value: that of the connection
	Port    int        // 0: a free one
	Zone    string
	Version string
	Weight  int // negative: the registry's default
	Tags    []string
	TTL     time.Duration
}

// The pauses before a program is started again: firstPause at first, doubled each time up to mostPause. A program that
// was healthy for at least long begins with firstPause again.
const (
	firstPause = 200 * time.Millisecond
	mostPause  = 30 * time.Second
	long       = 10 * time.Second
)

// Run runs the program until ctx ends. If the program has ended before and is not restarted, Run returns its exit code.
// The error says why the program cannot run.
func Run(ctx context.Context, o Options) (code int, err error) {
	pauses := backoff.New(firstPause, mostPause)
	for {
		r := &run{Options: o, id: newID()}
		ended := r.once(ctx)
		switch {
		case ended.err != nil:
			return 0, ended.err
		case ctx.Err() != nil:
			return 0, nil //nolint:nilerr // it was to end
		case o.Restart == Never && ended.itself, o.Restart == OnFailure && ended.itself && ended.code == 0:
			return ended.code, nil
		}
		if ended.lived >= long {
			pauses.Reset()
		}
		pause := pauses.Next()
		o.Log.Info("the program is started again", "in", pause)
		if !backoff.Wait(ctx, pause) {
			return 0, nil
		}
	}
}

// newID makes the id of one start of the program: each start is a new instance.
func newID() string {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	host, err := os.Hostname()
	if err != nil || registry.CheckName("id", host) != nil || len(host) > registry.LongestName/2 {
		host = "instance"
	}
	return host + "-" + hex.EncodeToString(random[:])
}

// run is one start of the program.
type run struct {
	Options

	id string
}

// ending says how one start has ended.
type ending struct {
	err    error // nothing more can be done
	itself bool  // it was not asked to end
	code   int
	lived  time.Duration // how long it was healthy
}

// once starts the program and waits for its end.
func (r *run) once(ctx context.Context) ending {
	port, err := r.port()
	if err != nil {
		return ending{err: err}
	}
	p, err := r.Host.Start(ctx, process.Spec{
		Path: r.Path, Args: r.Args, Dir: r.Dir, Output: r.Output,
		Env: func(string) []string { return append(append([]string(nil), r.Env...), "PORT="+strconv.Itoa(port)) },
	})
	if err != nil {
		return ending{err: err}
	}
	r.Log.Info("the program was started", "pid", p.PID(), "port", port)
	check := r.Health.at(netip.AddrPortFrom(r.address(), uint16(port)))
	defer check.close()
	if !r.becomesHealthy(ctx, p, check) {
		return r.end(ctx, p, 0)
	}
	healthy := time.Now()
	l := newLease(r, port)
	go l.keep()
	err = r.staysHealthy(ctx, p, check, l.refused)
	l.end()
	if err != nil {
		r.stop(p)
		return ending{err: err}
	}
	r.leave(ctx, p)
	return r.end(ctx, p, time.Since(healthy))
}

// address returns the address of this machine at which the program is checked.
func (r *run) address() netip.Addr {
	if r.Instance.Address.IsValid() {
		return r.Instance.Address
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// port returns the port that the program is to listen on.
func (r *run) port() (int, error) {
	if r.Instance.Port != 0 {
		return r.Instance.Port, nil
	}
	l, err := net.Listen("tcp", netip.AddrPortFrom(r.address(), 0).String())
	if err != nil {
		return 0, fmt.Errorf("no free port: %w", err)
	}
	defer l.Close()
	at, _ := l.Addr().(*net.TCPAddr)
	return at.Port, nil
}

// becomesHealthy waits until the program is healthy, and reports whether it is.
func (r *run) becomesHealthy(ctx context.Context, p *process.Process, check *checker) bool {
	deadline, cancel := context.WithTimeout(ctx, r.Start)
	defer cancel()
	told := false
	for {
		why := check.ask(deadline)
		if why == nil {
			why = check.own(p)
		}
		if why == nil {
			return true
		}
		if errors.Is(why, errStranger) && !told {
			told = true
			r.Log.Warn("somebody else answers on the program's port, and the program is waited for; where another process listens in its name, as a container engine does, say so by --listener any", "address", check.address)
		}
		timer := time.NewTimer(check.Doubt)
		select {
		case <-p.Done():
			timer.Stop()
			return false
		case <-deadline.Done():
			timer.Stop()
			if ctx.Err() == nil {
				r.Log.Error("the program is not healthy in time", "time", r.Start, "reason", why)
			}
			return false
		case <-timer.C:
		}
	}
}

// staysHealthy returns when the program has ended, is no longer healthy, or is to end. The error is the one from
// refused.
func (r *run) staysHealthy(ctx context.Context, p *process.Process, check *checker, refused <-chan error) error {
	failed := 0
	for {
		wait := check.Every
		if failed > 0 {
			wait = min(check.Doubt, wait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-p.Done():
			timer.Stop()
			return nil
		case err := <-refused:
			timer.Stop()
			return err
		case <-timer.C:
		}
		err := check.ask(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it is to end
		case err == nil && failed > 0:
			failed = 0
			r.Log.Info("the program is healthy again")
		case err != nil:
			if failed++; failed >= check.Failures {
				r.Log.Error("the program is healthy no more, and is replaced", "checks", failed, "reason", err)
				return nil
			}
			r.Log.Warn("the program has not answered a check", "reason", err)
		}
	}
}

// moment is how long it may take until the end of a program is noticed. Its checks already fail by then. Without this
// wait, a program that has ended by itself would be asked to end.
const moment = time.Second

// leave lets the program go on for a while, so that clients that found it before it left the registry still get an
// answer.
func (r *run) leave(ctx context.Context, p *process.Process) {
	wait := r.Drain
	if ctx.Err() == nil {
		wait = max(wait, moment)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-p.Done():
	case <-timer.C:
	}
}

// end ends the program if it has not ended by itself.
func (r *run) end(ctx context.Context, p *process.Process, lived time.Duration) ending {
	select {
	case <-p.Done():
		e := ending{itself: true, code: p.Code(), lived: lived}
		if ctx.Err() == nil {
			r.Log.Warn("the program has ended", "exit", p.Exit())
		}
		return e
	default:
	}
	r.stop(p)
	return ending{code: p.Code(), lived: lived}
}

func (r *run) stop(p *process.Process) {
	r.Log.Info("the program is asked to end", "within", r.Stop)
	ctx, cancel := context.WithTimeout(context.Background(), r.Stop)
	defer cancel()
	p.Stop(ctx)
	r.Log.Info("the program has ended", "exit", p.Exit())
}
