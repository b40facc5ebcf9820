package program

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/process"
)

// buildFarewell is how long the go command and its compilers may take to end after they were asked to.
const buildFarewell = time.Second

// exitError is how a failed go command ended.
type exitError struct{ how string }

func (e *exitError) Error() string { return e.how }

// goCommand runs the go command in the program's folder and passes its output to line, which two goroutines call. The
// command is a process of host, so that neither it nor a compiler outlives this program, and its temporary files are
// removed with it. It has the gateway's own environment, and more: it needs the module cache and proxy, and the
// function never sees that environment.
func (p Program) goCommand(ctx context.Context, host *process.Host, more []string, line func(process.Line), arguments ...string) error {
	path, err := exec.LookPath("go")
	if err != nil {
		return err //nolint:wrapcheck // the caller says what it was for
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	run, err := host.Start(ctx, process.Spec{
		Path: path, Args: arguments, Dir: p.Folder, Line: line, Interrupt: true,
		Env: func(temp string) []string {
			own := []string{"PWD=" + p.Folder, "TMPDIR=" + temp}
			if onWindows {
				own = append(own, "TMP="+temp, "TEMP="+temp)
			}
			return append(append(os.Environ(), more...), own...)
		},
	})
	if err != nil {
		return err //nolint:wrapcheck // it names the program
	}
	select {
	case <-run.Done():
	case <-ctx.Done():
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), buildFarewell)
		defer cancel()
		run.Stop(patience)
		return context.Cause(ctx)
	}
	if run.Code() != 0 {
		return &exitError{run.Exit()}
	}
	return nil
}

// firstOf keeps the first bytes of lines. It is safe for concurrent use.
type firstOf struct {
	most int

	mu   sync.Mutex
	kept []byte
	more bool // output than was kept
}

func (f *firstOf) add(line []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	room := f.most - len(f.kept)
	if len(line) >= room {
		line, f.more = line[:max(room, 0)], true
	}
	f.kept = append(f.kept, line...)
	if !f.more {
		f.kept = append(f.kept, '\n')
	}
}

func (f *firstOf) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	text := string(bytes.TrimSpace(f.kept))
	if f.more {
		text += "..."
	}
	return text
}
