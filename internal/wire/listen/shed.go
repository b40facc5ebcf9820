package listen

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/wire/http1"
)

// fullAnswer returns the whole answer to a client that finds the server full. It is made once and is the same for all,
// because nothing of their requests is read.
func fullAnswer() string {
	kind := fault.Overloaded
	body := fmt.Sprintf(`{"type":%q,"title":%q,"status":%d,"detail":%q,"code":%q}`,
		kind.URI(), kind.Title, kind.Status, "There are as many connections open as the gateway allows.", kind.Code)
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n"+
		"Retry-After: 1\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n%s",
		kind.Status, http.StatusText(kind.Status), len(body), body)
}

const (
	shedTime = 100 * time.Millisecond
	maxSheds = 64 // answered at the same time; the rest are only closed

	acceptTime = 10 * time.Millisecond // for a client that is already waiting
)

// sheds counts the refusals that are being written.
type sheds chan struct{}

func newSheds() sheds { return make(sheds, maxSheds) }

// turnAway refuses a connection before anything was read from it, and stays long enough for the client to see why.
func (s *Server) turnAway(raw net.Conn) {
	defer func() { _ = raw.Close() }() // no request was taken on it
	select {
	case s.sheds <- struct{}{}:
		defer func() { <-s.sheds }()
	default:
		return
	}
	if s.sayFull(raw) {
		http1.Linger(raw)
	}
}

// sayFull writes the refusal if that is possible without a handshake.
func (s *Server) sayFull(raw net.Conn) bool {
	if s.tls != nil || raw.SetDeadline(time.Now().Add(shedTime)) != nil {
		return false
	}
	_, err := io.WriteString(raw, s.full)
	return err == nil
}

// shedWaiting gives up the spare file descriptor to send waiting clients away, so that they look elsewhere instead of
// waiting for their own timeouts.
func (s *Server) shedWaiting(spare *spareFile) {
	deadliner, ok := s.listener.(interface{ SetDeadline(t time.Time) error })
	if !ok || !spare.release() {
		return
	}
	defer spare.reopen()
	if deadliner.SetDeadline(time.Now().Add(acceptTime)) != nil {
		return
	}
	defer func() { _ = deadliner.SetDeadline(time.Time{}) }() // if the listener is closed, Accept finds out
	for range maxSheds {
		raw, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.count.Refused(telemetry.RefusedFiles)
		s.sayFull(raw)
		_ = raw.Close() // at once: there is no descriptor to spare
	}
}

// spareFile is a file descriptor that is kept for the moment when no others are left.
type spareFile struct{ file *os.File }

func openSpare() *spareFile {
	spare := &spareFile{}
	spare.reopen()
	return spare
}

// reopen takes the descriptor again; when that fails, there is none until the next try.
func (s *spareFile) reopen() {
	if file, err := os.Open(os.DevNull); err == nil {
		s.file = file
	}
}

// release gives up the descriptor and reports whether there was one.
func (s *spareFile) release() bool {
	if s.file == nil {
		s.reopen()
	}
	if s.file == nil {
		return false
	}
	_ = s.file.Close() // it was only held
	s.file = nil
	return true
}

// The pauses after a shortage.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)
