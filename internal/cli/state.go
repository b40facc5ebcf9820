package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/control/follow"
	"github.com/weir-gateway/weir/internal/control/history"
	"github.com/weir-gateway/weir/internal/control/source"
)

// state is where the configs that served are kept.
type state struct {
	folder string
	keep   int
	age    time.Duration
}

func (s *state) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.folder, "state", "", "`folder` where the configs that served are kept, or off (default $STATE_DIRECTORY, or weir in $XDG_STATE_HOME)")
	c.Flags().IntVar(&s.keep, "state-keep", history.DefaultKeep, "how `many` of them are kept")
	c.Flags().DurationVar(&s.age, "state-age", follow.DefaultMaxAge, "how long ago one may have served last to be served instead of a config that cannot be")
}

// open gives the history of an input. One that nobody asked for is done without
// where there is no place for it.
func (s *state) open(in source.Input, log *slog.Logger) (*history.History, error) {
	if s.keep < 1 {
		return nil, usageError{fmt.Errorf("--state-keep %d: at least one is kept", s.keep)}
	}
	folder, asked := s.find()
	if folder == "" || !in.Lasting() {
		return history.New(s.keep), nil
	}
	path, err := filepath.Abs(in.Path)
	if err == nil {
		err = tryToWrite(folder)
	}
	var kept *history.History
	var lost error
	if err == nil {
		name := sha256.Sum256([]byte(path)) // each input has a history of its own
		kept, lost, err = history.Open(filepath.Join(folder, hex.EncodeToString(name[:8])), s.keep)
	}
	switch {
	case err != nil && asked:
		return nil, fmt.Errorf("%w (--state FOLDER, or --state off)", err)
	case err != nil:
		log.Info("no configuration is kept for a restart", "reason", err)
		return history.New(s.keep), nil
	case lost != nil:
		log.Warn("some of the kept configurations are lost", "reason", lost)
	}
	return kept, nil
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
