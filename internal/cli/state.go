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

	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/base/shelf"
	"github.com/weir-gateway/weir/internal/base/statefile"
	"github.com/weir-gateway/weir/internal/control/follow"
	"github.com/weir-gateway/weir/internal/control/history"
	"github.com/weir-gateway/weir/internal/control/source"
)

// state is where data for a restart is kept: the configs that served, and what was heard from outside.
type state struct {
	folder string
	keep   int
	age    time.Duration
}

func (s *state) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.folder, "state", "", "`folder` that keeps served configs, keys and endpoints for a restart, or off (default $STATE_DIRECTORY, or weir in $XDG_STATE_HOME)")
	c.Flags().IntVar(&s.keep, "state-keep", history.DefaultKeep, "`number` of served configs to keep")
	c.Flags().DurationVar(&s.age, "state-age", follow.DefaultMaxAge, "maximum age of what a start uses if it has nothing newer: of a config, since it last served; of endpoints, since their last confirmation")
}

// kept is the content of the folder of one input.
type kept struct {
	history *history.History
	shelf   *shelf.Shelf    // nil: nothing is kept on disk
	lock    *statefile.Lock // nil: nothing is written there
	queue   *queue.Queue    // nil: nothing can be sent later
	// registry is nil if the registry is only in memory.
	registry *registry.Registry
}

// open opens what is kept for an input. token is what the previous process has handed over, nil for nothing; succeeds
// says that there is a previous process. If the folder cannot be used, the gateway runs without it: its task is to
// serve, and data that only a restart needs must not prevent that. This is logged as an error if the folder was named
// explicitly or another gateway holds it; otherwise nobody expects the folder, and it is logged as information. If the
// folder can still be read, its content is used all the same.
func (s *state) open(in source.Input, token *os.File, succeeds bool, log *slog.Logger) (kept, error) {
	if s.keep < 1 {
		return kept{}, usageError{fmt.Errorf("--state-keep %d: write at least 1", s.keep)}
	}
	inMemory := kept{history: history.New(s.keep)}
	if info, err := os.Stat(s.folder); s.folder != "off" && err == nil && !info.IsDir() {
		return kept{}, usageError{fmt.Errorf("--state %s: it is a file; name a folder, or off", s.folder)}
	}
	folder, asked := s.find()
	if folder == "" || !in.Lasting() {
		return inMemory, nil
	}
	own, err := ownFolder(folder, in)
	if err != nil {
		s.complain(err, asked, log)
		return inMemory, nil
	}
	found, lost, err := openIn(folder, own, s.keep, s.age, token, succeeds, log)
	if err != nil {
		s.complain(err, asked, log)
		if found, lost, err = readIn(own, s.keep, log); err != nil {
			return inMemory, nil //nolint:nilerr // it was told why the folder cannot be used
		}
	}
	if lost != nil {
		log.Warn("some of the kept configurations are lost", "reason", lost)
	}
	return found, nil
}

// complain logs that nothing is kept, and why.
func (s *state) complain(err error, asked bool, log *slog.Logger) {
	_, held := errors.AsType[*statefile.HeldError](err)
	if asked || held {
		log.Error(nothingKept, "error", err, "fix", mend(err))
		return
	}
	log.Info(nothingKept, "reason", err)
}

const nothingKept = "nothing is kept for a restart: neither the configuration nor keys nor endpoints; routes with async cannot be served"

// mend says what to do about a state folder that cannot be used.
func mend(err error) string {
	const elsewhere = "or name another folder with --state, or keep nothing with --state off"
	if _, held := errors.AsType[*statefile.HeldError](err); held {
		return "end that process, unless it should serve beside this one, and start this one again; " + elsewhere
	}
	if errors.Is(err, statefile.ErrOthers) {
		return "make it belong to this user and chmod -R g-w,o-w it; in Kubernetes set fsGroupChangePolicy: OnRootMismatch beside fsGroup; " + elsewhere
	}
	return "make it a folder that this user can write to; " + elsewhere
}

// ownFolder returns the part of folder that belongs to the input.
func ownFolder(folder string, in source.Input) (string, error) {
	path, err := filepath.Abs(in.Path)
	if err != nil {
		return "", fmt.Errorf("state folder: %w", err)
	}
	name := sha256.Sum256([]byte(path))
	return filepath.Join(folder, hex.EncodeToString(name[:8])), nil
}

// The folders within it.
const (
	shelfName = "shelf"
	queueName = "queue"

	registryName = "registry"
)

// openIn locks own, a part of folder, and opens its content. lost says what of the history cannot be read.
func openIn(folder, own string, keep int, age time.Duration, token *os.File, succeeds bool, log *slog.Logger) (found kept, lost, err error) {
	if err := tryToWrite(folder); err != nil {
		return kept{}, nil, err
	}
	found.lock, err = statefile.Adopt(own, token)
	if errors.Is(err, errors.ErrUnsupported) {
		log.Warn("the state folder cannot be locked; make sure that no other gateway uses it", "reason", err)
		err = nil
	}
	if err != nil {
		return kept{}, nil, err
	}
	if found.history, lost, err = history.Open(own, keep); err == nil {
		found.shelf, err = shelf.New(filepath.Join(own, shelfName), log)
	}
	if err == nil {
		found.registry, err = registry.New(registry.Options{Folder: filepath.Join(own, registryName), Succeeds: succeeds, MaxAge: age, Log: log})
	}
	if err == nil {
		found.queue, err = queue.New(queue.Options{Folder: filepath.Join(own, queueName), Succeeds: succeeds, Log: log})
	}
	if err != nil {
		found.lock.Release()
		return kept{}, nil, err
	}
	return found, lost, nil
}

// readIn opens a folder like openIn, but only for reading.
func readIn(own string, keep int, log *slog.Logger) (found kept, lost, err error) {
	if found.history, lost, err = history.Read(own, keep); err == nil {
		found.shelf, err = shelf.Read(filepath.Join(own, shelfName), log)
	}
	return found, lost, err
}

// find returns the folder for all inputs, "" for none, and whether it was named explicitly.
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
