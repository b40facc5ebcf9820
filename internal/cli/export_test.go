package cli

import (
	"io"
	"log/slog"
)

// DevLog is the log of `weir dev`.
func DevLog(w io.Writer, color bool) slog.Handler {
	var level slog.LevelVar
	return &console{out: newPrinter(w, color), level: &level, own: ownLevel{&level}}
}
