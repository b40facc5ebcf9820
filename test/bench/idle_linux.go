package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// holding is the environment variable that makes this program hold connections. It contains a port and a number of
// connections.
const holding = "WEIR_BENCH_HOLD"

// hold opens connections, sends one request over each, reports that, and keeps the connections until its input ends.
// It runs as a process of its own for each proxy, because no process may open enough files for all of them.
func hold(what string, out io.Writer, in io.Reader) error {
	var port, many int
	if _, err := fmt.Sscan(what, &port, &many); err != nil {
		return err
	}
	l, err := newLoader(port, many, get("/", nil, small))
	if err != nil {
		return err
	}
	events := make([]unix.EpollEvent, 1)
	for i := range many {
		if err := l.ask(time.Now()); err != nil {
			return err
		}
		for l.answers == i && l.wrong == "" && l.lost == 0 {
			if err := l.await(events, patience); err != nil {
				return err
			}
		}
		if l.answers == i || l.wrong != "" {
			return fmt.Errorf("connection %d: %q, %d lost", i, l.wrong, l.lost)
		}
	}
	fmt.Fprintln(out, "held")
	_, err = io.Copy(io.Discard, in)
	return err
}

// holder is a process that holds connections.
type holder struct {
	command *exec.Cmd
	in      io.Closer
}

func (h holder) close() error { return errors.Join(h.in.Close(), h.command.Wait()) }

// startHolder returns once all connections are held.
func startHolder(port, many int) (holder, error) {
	program, err := os.Executable()
	if err != nil {
		return holder{}, err
	}
	h := holder{command: exec.Command(program)} //nolint:noctx // it ends with its input
	h.command.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", holding, port, many))
	var told strings.Builder
	h.command.Stderr = &told
	out, err := h.command.StdoutPipe()
	if err != nil {
		return holder{}, err
	}
	if h.in, err = h.command.StdinPipe(); err != nil {
		return holder{}, err
	}
	if err := h.command.Start(); err != nil {
		return holder{}, err
	}
	if _, err := io.ReadFull(out, make([]byte, len("held"))); err != nil {
		err = errors.Join(err, h.close())
		return holder{}, fmt.Errorf("%d idle connections: %w: %s", many, err, told.String())
	}
	return h, nil
}

// room is the memory of a peer, in bytes.
type room struct {
	begun, worked int // at its start, and after the whole load of the first cases
	idle          int // with idle connections, after a restart
}

// idling has all peers hold idle connections at the same time; their memory does not affect each other's.
func (b *bench) idling() error {
	return b.with("idle", func(servers []*server) (err error) {
		var holders []holder
		defer func() {
			for _, h := range holders {
				err = errors.Join(err, h.close())
			}
		}()
		for _, s := range servers {
			h, started := startHolder(s.Plain, b.idle)
			if started != nil {
				return fmt.Errorf("%s: %w", s.title, started)
			}
			holders = append(holders, h)
		}
		b.sayf("%d idle connections with each of them; they are left alone for %s", b.idle, b.settle)
		<-time.After(b.settle)
		for _, s := range servers {
			b.rooms[s.name].idle = s.memory()
		}
		return nil
	})
}
