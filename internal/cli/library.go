package cli

import (
	"log"
	"log/slog"
	"strings"
)

// adoptLog redirects what libraries print with package log to l, until restore is called.
func adoptLog(l *slog.Logger) (restore func()) {
	writer, flags := log.Writer(), log.Flags()
	log.SetFlags(0)
	log.SetOutput(libraryLog{l})
	return func() {
		log.SetOutput(writer)
		log.SetFlags(flags)
	}
}

// libraryLog turns each write into a log record.
type libraryLog struct{ log *slog.Logger }

// Write implements io.Writer. net/http quotes the bytes that it receives unasked on an idle connection. The quote is
// left out, because it is a backend's content.
func (l libraryLog) Write(b []byte) (int, error) {
	text, _, _ := strings.Cut(string(b), " starting with ")
	l.log.Warn("a library says", "text", strings.TrimSpace(text))
	return len(b), nil
}
