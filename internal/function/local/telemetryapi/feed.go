package telemetryapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// About is what records say about the function.
type About struct {
	Name, Version string
	Memory        int64 // bytes that an instance may use
	// Init is how the instance is initialised, in AWS's terms: "on-demand", "snap-start".
	Init string
	// JSON says that the function's lines are JSON, so that the schemas that support it contain them as such.
	JSON bool
}

// Feed reports what happens to one instance to all subscribers. It is safe for concurrent use. Its creator must close
// it.
type Feed struct {
	about    About
	log      *slog.Logger
	farewell time.Duration // of each subscriber
	begun    time.Time
	source   atomic.Pointer[source]
	wanted   atomic.Bool // there are subscribers, or may be later

	mu          sync.Mutex
	early       []event // until the first invocation, for late subscribers
	earlyBytes  int
	opening     bool // that invocation has not come yet
	initialised time.Time
	first       bool // no invocation has been reported yet
	subscribers map[string]*subscriber
	closed      bool
}

// The bounds of what is kept until the first invocation.
const (
	mostEarly      = 256
	mostEarlyBytes = 64 << 10
)

// New begins the feed of an instance that is about to be started. Losses of subscribers are reported to log.
func New(about About, log *slog.Logger) *Feed {
	f := &Feed{about: about, log: log, farewell: lastBatch, begun: time.Now(), opening: true, first: true, subscribers: map[string]*subscriber{}}
	f.wanted.Store(true)
	detailed := initStart{about.Init, "init", about.Name, about.Version, about.Memory}
	f.platform("platform.initStart", func(s schema) any {
		switch s {
		case logs2020, logs2021:
			return nil
		case telemetry202207:
			return initStart{Type: about.Init, Phase: "init"}
		default:
			return detailed
		}
	})
	return f
}

// source is the instance that the feed is about.
type source struct {
	memory func() int64
	drain  func()
}

// Observe sets how to find the most memory that the instance has used, in bytes, and a function that returns once all
// its output so far was given to Line.
func (f *Feed) Observe(memory func() int64, drain func()) { f.source.Store(&source{memory, drain}) }

// Drain waits for the lines that the instance has written so far.
func (f *Feed) Drain() {
	if from := f.source.Load(); from != nil && f.wanted.Load() {
		from.drain()
	}
}

// Subscribe subscribes an extension to what raw asks for, from the beginning on. It replaces an earlier subscription of
// the extension. The error tells the extension what is wrong.
func (f *Feed) Subscribe(extension string, api API, raw []byte) error {
	w, err := parse(api, raw)
	if err != nil {
		return err
	}
	old, err := f.subscribe(extension, w)
	if old != nil {
		old.close()
	}
	return err
}

func (f *Feed) subscribe(extension string, w *wish) (old *subscriber, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old = f.subscribers[extension]
	switch {
	case f.closed:
		return nil, errors.New("the instance has ended")
	case old != nil && old.schema.api() != w.schema.api():
		return nil, errors.New("this extension has subscribed by the other one of Telemetry API and Logs API")
	}
	s := newSubscriber(extension, w, f.farewell, f.log)
	if old == nil {
		for i := range f.early {
			s.add(&f.early[i])
		}
	}
	f.subscribers[extension] = s
	f.wanted.Store(true)
	kind := "platform.telemetrySubscription"
	if w.schema.api() == Logs {
		kind = "platform.logsSubscription"
	}
	f.tell(&event{time.Now(), platformStream, kind, always(subscribed{extension, "Subscribed", w.types})})
	return old, nil
}

func (f *Feed) platform(kind string, record func(schema) any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tell(&event{time.Now(), platformStream, kind, record})
}

// tell gives an event to all subscribers, and keeps it for later ones. f is locked.
func (f *Feed) tell(e *event) {
	if f.closed {
		return
	}
	for _, s := range f.subscribers {
		s.add(e)
	}
	if f.opening && len(f.early) < mostEarly {
		if size := len(e.encode(telemetry202207)); f.earlyBytes+size <= mostEarlyBytes {
			f.early = append(f.early, *e)
			f.earlyBytes += size
		}
	}
}

// Line reports a line that the function has written. text may be overwritten afterwards.
func (f *Feed) Line(text []byte) { f.line(functionStream, text) }

// ExtensionLine reports a line that an extension has written.
func (f *Feed) ExtensionLine(text []byte) { f.line(extensionStream, text) }

func (f *Feed) line(stream string, text []byte) {
	if !f.wanted.Load() {
		return
	}
	line := string(text)
	record := always(line)
	if raw := bytes.TrimSpace([]byte(line)); f.about.JSON && len(raw) > 0 && raw[0] == '{' && json.Valid(raw) {
		record = func(s schema) any {
			if s < telemetry202212 {
				return line
			}
			return json.RawMessage(raw)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tell(&event{time.Now(), stream, stream, record})
}

// Extension reports that an extension is ready for the events that it has registered for.
func (f *Feed) Extension(name string, events []string) {
	if f.wanted.Load() {
		if events == nil {
			events = []string{}
		}
		f.platform("platform.extension", always(ready{name, "Ready", events}))
	}
}

// Restored reports that the instance has been declared restored from a snapshot that was never made. failure is "" if
// that went well, and else the type of its error.
func (f *Feed) Restored(failure string, took time.Duration) {
	done := initDone{Status: status(failure), ErrorType: failure}
	f.platform("platform.restoreRuntimeDone", inTelemetry(done))
	done.Metrics = &times{Duration: inMilliseconds(took)}
	f.platform("platform.restoreReport", inTelemetry(done))
}

// Restoring reports that the instance is about to be declared restored.
func (f *Feed) Restoring() {
	f.platform("platform.restoreStart", inTelemetry(initStart{Type: f.about.Init, Phase: "restore", Function: f.about.Name, Version: f.about.Version}))
}

// Initialised reports that the instance is ready, or the type of the error that prevents it. Only the first call
// counts.
func (f *Feed) Initialised(failure string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.initialised.IsZero() {
		return
	}
	f.initialised = time.Now()
	done := initDone{Type: f.about.Init, Phase: "init", Status: status(failure), ErrorType: failure}
	f.tell(&event{f.initialised, platformStream, "platform.initRuntimeDone", inTelemetry(done)})
	done.Metrics = &times{Duration: inMilliseconds(f.initialised.Sub(f.begun))}
	f.tell(&event{f.initialised, platformStream, "platform.initReport", inTelemetry(done)})
}

func status(failure string) string {
	if failure != "" {
		return "error"
	}
	return "success"
}

// Begin reports that an invocation was given to the instance. It returns nil if there are no subscribers. A nil
// Invocation accepts all calls.
func (f *Feed) Begin(id, trace string) *Invocation {
	if !f.wanted.Load() {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opening = false
	if len(f.subscribers) == 0 {
		f.wanted.Store(false)
		return nil
	}
	i := &Invocation{feed: f, id: id, begun: time.Now()}
	if trace != "" {
		i.tracing = &tracing{"X-Amzn-Trace-Id", trace}
	}
	full := start{id, f.about.Version, i.tracing}
	f.tell(&event{i.begun, platformStream, "platform.start", func(s schema) any {
		if s.api() == Logs {
			return start{ID: id, Version: f.about.Version}
		}
		return full
	}})
	return i
}

// Flush returns when all subscribers have received the events so far, or ctx ends.
func (f *Feed) Flush(ctx context.Context) {
	f.mu.Lock()
	all := make([]*subscriber, 0, len(f.subscribers))
	for _, s := range f.subscribers {
		all = append(all, s)
	}
	f.mu.Unlock()
	var flushing sync.WaitGroup
	for _, s := range all {
		flushing.Go(func() { s.flush(ctx) })
	}
	flushing.Wait()
}

// Close delivers what is left if that is possible at once, and ends all goroutines.
func (f *Feed) Close() {
	f.mu.Lock()
	f.closed = true
	all := f.subscribers
	f.subscribers = nil
	f.mu.Unlock()
	f.wanted.Store(false)
	var closing sync.WaitGroup
	for _, s := range all {
		closing.Go(s.close)
	}
	closing.Wait()
}

// Invocation is an invocation that has subscribers. A nil Invocation ignores all calls.
type Invocation struct {
	feed    *Feed
	id      string
	tracing *tracing
	begun   time.Time

	mu                sync.Mutex
	answering, answer time.Time // when the first and the last byte of its answer came
	produced          int64
	failure           string
	done, ended       bool // the end of the runtime's work, and of all work, was reported
}

// Responding records that the answer begins.
func (i *Invocation) Responding() {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answering = time.Now()
}

// Responded records that the answer is complete and its size in bytes. failure is the type of the error that it is, ""
// for none.
func (i *Invocation) Responded(bytes int64, failure string) {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer, i.produced, i.failure = time.Now(), bytes, failure
	if i.answering.IsZero() {
		i.answering = i.answer
	}
}

// Cut is why an invocation ended without an answer.
type Cut int

// The reasons.
const (
	None    Cut = iota // it did not: the instance has finished it
	Timeout            // it took too long
	Failure            // the instance has ended
)

// Done reports that the runtime has finished the invocation. Extensions may not have.
func (i *Invocation) Done(cut Cut) {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.done {
		return
	}
	i.done = true
	done := i.outcome(cut)
	i.feed.platform("platform.runtimeDone", func(s schema) any {
		switch s {
		case logs2020:
			return nil
		case logs2021:
			return runtimeDone{ID: done.ID, Status: done.Status}
		default:
			return done
		}
	})
}

// End reports that the invocation is over, after Done. Later calls are ignored.
func (i *Invocation) End(cut Cut) {
	if i == nil {
		return
	}
	i.Done(cut)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return
	}
	i.ended = true
	done := i.outcome(cut)
	i.feed.over(&done, time.Since(i.begun))
}

// outcome returns the current outcome of the invocation. i is locked.
func (i *Invocation) outcome(cut Cut) runtimeDone {
	now := time.Now()
	done := runtimeDone{ID: i.id, Tracing: i.tracing, Metrics: &times{Duration: inMilliseconds(now.Sub(i.begun))}}
	done.Status, done.ErrorType = status(i.failure), i.failure
	switch cut {
	case None:
	case Timeout:
		done.Status, done.ErrorType = "timeout", ""
	case Failure:
		done.Status, done.ErrorType = "failure", "Runtime.ExitError"
	}
	if !i.answer.IsZero() {
		done.Metrics.Produced = &i.produced
		done.Spans = []span{
			newSpan("responseLatency", i.begun, i.answering), newSpan("responseDuration", i.answering, i.answer), newSpan("runtimeOverhead", i.answer, now),
		}
	}
	return done
}

// over reports everything about an invocation that has ended, except that the runtime has finished it.
func (f *Feed) over(done *runtimeDone, took time.Duration) {
	const mebibyte = 1 << 20
	used := usage{Duration: done.Metrics.Duration, Billed: int64(math.Ceil(float64(took) / float64(time.Millisecond))), Memory: f.about.Memory / mebibyte}
	if from := f.source.Load(); from != nil {
		used.MaxMemory = from.memory() / mebibyte
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first && !f.initialised.IsZero() {
		f.first = false
		initialising := inMilliseconds(f.initialised.Sub(f.begun))
		used.Init = &initialising
	}
	at := time.Now()
	say := func(kind string, record func(schema) any) { f.tell(&event{at, platformStream, kind, record}) }
	if done.Status == "failure" || done.Status == "timeout" {
		say("platform.fault", inLogs(fault(done)))
	}
	say("platform.end", inLogs(end{done.ID}))
	say("platform.report", func(s schema) any {
		if s.api() == Logs {
			return report{ID: done.ID, Metrics: used, Tracing: done.Tracing}
		}
		return report{done.ID, done.Status, done.ErrorType, used, done.Tracing, done.Spans}
	})
}

// fault returns what the Logs API says about an invocation that was cut short.
func fault(done *runtimeDone) string {
	if done.Status == "timeout" {
		return fmt.Sprintf("RequestId: %s Task timed out after %.2f seconds", done.ID, float64(done.Metrics.Duration)/1000)
	}
	return fmt.Sprintf("RequestId: %s Process exited before completing request", done.ID)
}
