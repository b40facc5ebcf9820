package telemetryapi

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
)

// subscriber buffers the events for one extension, and owns the goroutine that delivers them. While a batch is being
// delivered, it holds at most two further batches of the size that the extension has asked for. Anything beyond that is
// dropped, counted and reported.
type subscriber struct {
	*wish

	name     string
	log      *slog.Logger
	send     sender
	farewell time.Duration // time for its last batch

	mu      sync.Mutex
	pending [][]byte
	bytes   int // of pending
	missing dropped
	warned  bool

	begun   chan struct{}      // something is pending again
	full    chan struct{}      // a full batch is pending
	flushes chan chan struct{} // each is closed when all that was pending is delivered or dropped
	stop    chan struct{}
	cut     context.CancelFunc // ends a delivery in progress
	done    chan struct{}
}

// How a failed delivery is retried: AWS only says "with back-off".
const (
	attemptTime  = 5 * time.Second
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 2 * time.Second
	patience     = 15 * time.Second // then the batch is dropped
	// lastBatch is how long the last batch may take, when the instance has ended.
	lastBatch = 250 * time.Millisecond
)

// slack is how many batches may be pending while one is being delivered: AWS tells subscribers to expect twice what
// they have asked for.
const slack = 2

func newSubscriber(name string, w *wish, farewell time.Duration, log *slog.Logger) *subscriber {
	ctx, cancel := context.WithCancel(context.Background())
	s := &subscriber{
		wish: w, name: name, farewell: farewell, log: log, send: newSender(w.to),
		begun: make(chan struct{}, 1), full: make(chan struct{}, 1), flushes: make(chan chan struct{}),
		stop: make(chan struct{}), cut: cancel, done: make(chan struct{}),
	}
	go s.serve(ctx)
	return s
}

// add takes an event if the subscriber wants it. It does not wait.
func (s *subscriber) add(e *event) {
	if !slices.Contains(s.types, e.stream) {
		return
	}
	text := e.encode(s.schema)
	if text == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) >= slack*s.items || s.bytes+len(text) > slack*s.wish.bytes {
		s.drop("the subscriber takes less than there is to tell", 1, len(text))
		return
	}
	s.pending = append(s.pending, text)
	s.bytes += len(text)
	if len(s.pending) == 1 {
		nudge(s.begun)
	}
	if len(s.pending) >= s.items || s.bytes >= s.wish.bytes {
		nudge(s.full)
	}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it was told already
	}
}

// drop counts lost records. s is locked.
func (s *subscriber) drop(reason string, records, bytes int) {
	s.missing.Reason = reason
	s.missing.Records += records
	s.missing.Bytes += bytes
	if !s.warned {
		s.warned = true
		s.log.Warn("an extension loses telemetry", "extension", s.name, "why", reason)
	}
}

// take returns what is pending, and what is missing after it. The missing records are reported in the last record of
// the batch, if the extension has subscribed to such records.
func (s *subscriber) take() (batch [][]byte, missing dropped) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch, missing = s.pending, s.missing
	s.pending, s.bytes, s.missing = nil, 0, dropped{}
	if missing.Records > 0 && slices.Contains(s.types, platformStream) {
		batch = append(batch, (&event{time.Now(), platformStream, "platform.logsDropped", always(missing)}).encode(s.schema))
	}
	return batch, missing
}

// serve delivers what is pending until stop, and then once more.
func (s *subscriber) serve(ctx context.Context) {
	defer close(s.done)
	defer s.send.close()
	for {
		var flushed chan struct{}
		select {
		case <-s.begun:
			flushed = s.fill()
		case flushed = <-s.flushes:
		case <-s.stop:
		}
		stopping := s.stopping()
		batch, missing := s.take()
		if err := s.deliver(ctx, batch, stopping); err != nil {
			s.lost(batch, missing, err)
		}
		if flushed != nil {
			close(flushed)
		}
		if stopping {
			return
		}
	}
}

// fill waits until a batch is due. It returns the channel to close after its delivery, nil for none.
func (s *subscriber) fill() (flushed chan struct{}) {
	timer := time.NewTimer(s.wait)
	defer timer.Stop()
	select {
	case <-s.full:
	case <-timer.C:
	case flushed = <-s.flushes:
	case <-s.stop:
	}
	return flushed
}

func (s *subscriber) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// deliver sends a batch, with retries. The last batch is tried only once. The error is that of the last attempt.
func (s *subscriber) deliver(ctx context.Context, batch [][]byte, last bool) error {
	if len(batch) == 0 {
		return nil
	}
	begun := time.Now()
	for pauses := backoff.New(firstBackoff, lastBackoff); ; {
		attempt, cancel := context.WithTimeout(ctx, attemptTime)
		err := s.send.send(attempt, batch)
		cancel()
		if err == nil {
			return nil
		}
		timer := time.NewTimer(pauses.Next())
		select {
		case <-timer.C:
		case <-s.stop:
			timer.Stop()
			last = true
		}
		if last || ctx.Err() != nil || time.Since(begun) > patience {
			return err //nolint:wrapcheck // lost says what it is
		}
	}
}

// lost counts a batch that could not be delivered, with what was missing before it.
func (s *subscriber) lost(batch [][]byte, missing dropped, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop("the subscriber could not be reached: "+err.Error(), missing.Records+len(batch), missing.Bytes+sizeOf(batch))
}

// flush returns when everything pending was delivered or dropped, or ctx ends.
func (s *subscriber) flush(ctx context.Context) {
	flushed := make(chan struct{})
	select {
	case s.flushes <- flushed:
	case <-s.done:
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-flushed:
	case <-ctx.Done():
	}
}

// close delivers what is pending, if that is possible at once, and ends the goroutine.
func (s *subscriber) close() {
	close(s.stop)
	late := time.AfterFunc(s.farewell, s.cut)
	<-s.done
	late.Stop()
	s.cut()
}
