package cli

import (
	"log"
	"log/slog"
	"strings"
)

// adoptLog makes what libraries print by package log part of l, until restore is called.
func adoptLog(l *slog.Logger) (restore func()) {
	writer, flags := log.Writer(), log.Flags()
	log.SetFlags(0)
	log.SetOutput(libraryLog{l})
	return func() {
		log.SetOutput(writer)
		log.SetFlags(flags)
	}
}

// libraryLog makes a line of the log of each write.
type libraryLog struct{ log *slog.Logger }

// Write implements io.Writer. What net/http found on a connection on which nothing was
// asked is left out, for it is a backend's content.
func (l libraryLog) Write(b []byte) (int, error) {
	text, _, _ := strings.Cut(string(b), " starting with ")
	l.log.Warn("a library says", "text", strings.TrimSpace(text))
	return len(b), nil
}
