package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/base/shelf"
	"github.com/weir-gateway/weir/internal/base/statefile"
	"github.com/weir-gateway/weir/internal/control/follow"
	"github.com/weir-gateway/weir/internal/control/history"
	"github.com/weir-gateway/weir/internal/control/source"
)

// state is where what a restart may need is kept: the configs that served, and what was
// heard from outside.
type state struct {
	folder string
	keep   int
	age    time.Duration
}

func (s *state) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.folder, "state", "", "`folder` where the configs that served, and keys and endpoints, are kept for a restart, or off (default $STATE_DIRECTORY, or weir in $XDG_STATE_HOME)")
	c.Flags().IntVar(&s.keep, "state-keep", history.DefaultKeep, "how `many` of these configs are kept")
	c.Flags().DurationVar(&s.age, "state-age", follow.DefaultMaxAge, "how long ago a config may have served last, or endpoints have been confirmed, to be used where a start has nothing newer")
}

// kept is what lies in the folder of one input.
type kept struct {
	history *history.History
	shelf   *shelf.Shelf // nil: nothing is kept on disk
}

// open gives what is kept for an input. A folder that cannot be used is done without: a
// gateway is there to serve, and what only a restart needs must not keep it from that.
// Where somebody named the folder it is an error in the log, else nobody waits for it.
func (s *state) open(in source.Input, log *slog.Logger) (kept, error) {
	if s.keep < 1 {
		return kept{}, usageError{fmt.Errorf("--state-keep %d: at least one is kept", s.keep)}
	}
	inMemory := kept{history: history.New(s.keep)}
	if info, err := os.Stat(s.folder); s.folder != "off" && err == nil && !info.IsDir() {
		return kept{}, usageError{fmt.Errorf("--state %s: it is a file; name a folder, or off", s.folder)}
	}
	folder, asked := s.find()
	if folder == "" || !in.Lasting() {
		return inMemory, nil
	}
	found, lost, err := openIn(folder, in, s.keep, log)
	switch {
	case err != nil && asked:
		log.Error(nothingKept, "error", err, "fix", mend(err))
		return inMemory, nil
	case err != nil:
		log.Info(nothingKept, "reason", err)
		return inMemory, nil
	case lost != nil:
		log.Warn("some of the kept configurations are lost", "reason", lost)
	}
	return found, nil
}

const nothingKept = "nothing is kept for a restart: neither the configuration nor keys nor endpoints"

// mend says what to do about a state folder that cannot be used.
func mend(err error) string {
	const elsewhere = "or name another folder with --state, or --state off to do without"
	if errors.Is(err, statefile.ErrOthers) {
		return "make it belong to this user and chmod -R g-w,o-w it; in Kubernetes set fsGroupChangePolicy: OnRootMismatch beside fsGroup; " + elsewhere
	}
	return "make a folder of it that this user can write to; " + elsewhere
}

// openIn opens the part of folder that is the input's own. lost is what of the history
// cannot be read.
func openIn(folder string, in source.Input, keep int, log *slog.Logger) (found kept, lost, err error) {
	path, err := filepath.Abs(in.Path)
	if err == nil {
		err = tryToWrite(folder)
	}
	if err != nil {
		return kept{}, nil, err
	}
	name := sha256.Sum256([]byte(path)) // each input has one of its own
	own := filepath.Join(folder, hex.EncodeToString(name[:8]))
	if found.history, lost, err = history.Open(own, keep); err == nil {
		found.shelf, err = shelf.New(filepath.Join(own, "shelf"), log)
	}
	return found, lost, err
}

// find gives the folder of all histories, "" for none, and whether somebody named it.
func (s *state) find() (folder string, asked bool) {
	switch s.folder {
	case "off":
		return "", false
	case "":
	default:
		return s.folder, true
	}
	if list := filepath.SplitList(os.Getenv("STATE_DIRECTORY")); len(list) > 0 { // systemd.exec(5), StateDirectory=
		return list[0], true
	}
	if base := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(base) { // XDG Base Directory Specification
		return filepath.Join(base, "weir"), false
	}
	if base := os.Getenv("LOCALAPPDATA"); runtime.GOOS == "windows" && base != "" {
		return filepath.Join(base, "weir", "state"), false
	}
	home, err := os.UserHomeDir()
	if err != nil || !filepath.IsAbs(home) {
		return "", false
	}
	return filepath.Join(home, ".local", "state", "weir"), false
}

func tryToWrite(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	probe, err := os.CreateTemp(folder, ".probe-*")
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	return nil
}
