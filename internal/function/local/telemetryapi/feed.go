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

// About is what records say of the function.
type About struct {
	Name, Version string
	Memory        int64 // bytes that an instance may use
	// Init is how the instance is initialised, in AWS's words: "on-demand", "snap-start".
	Init string
	// JSON says that the function's lines are JSON, so that they are told as such in
	// the schemas that know it.
	JSON bool
}

// Feed is what happens to one instance, for whoever subscribes to it. It is safe for
// concurrent use, and whoever makes one closes it.
type Feed struct {
	about    About
	log      *slog.Logger
	farewell time.Duration // of each subscriber
	begun    time.Time
	source   atomic.Pointer[source]
	wanted   atomic.Bool // somebody wants to know, now or later

	mu          sync.Mutex
	early       []event // until the first invocation, for whoever subscribes late
	earlyBytes  int
	opening     bool // that one has not come yet
	initialised time.Time
	first       bool // no invocation was reported yet
	subscribers map[string]*subscriber
	closed      bool
}

// The bounds of what is kept until the first invocation.
const (
	mostEarly      = 256
	mostEarlyBytes = 64 << 10
)

// New begins the feed of an instance that is about to be started. log is told where
// somebody loses something.
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

// source is the instance that the feed is of.
type source struct {
	memory func() int64
	drain  func()
}

// Observe says how the most memory that the instance has used is found, in bytes, and
// what returns once what it has put out by now was given to Line.
func (f *Feed) Observe(memory func() int64, drain func()) { f.source.Store(&source{memory, drain}) }

// Drain waits for the lines that the instance has put out by now.
func (f *Feed) Drain() {
	if from := f.source.Load(); from != nil && f.wanted.Load() {
		from.drain()
	}
}

// Subscribe lets an extension be told what it asks for, from the beginning on, in place
// of what it has asked for before. The error tells it what is wrong.
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

// tell gives an event to all, and keeps it for those who come later; f is locked.
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

// Line tells a line that the function has put out; text may be overwritten afterwards.
func (f *Feed) Line(text []byte) { f.line(functionStream, text) }

// ExtensionLine tells one that an extension has put out.
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

// Extension tells that an extension is ready for the events that it has registered for.
func (f *Feed) Extension(name string, events []string) {
	if f.wanted.Load() {
		if events == nil {
			events = []string{}
		}
		f.platform("platform.extension", always(ready{name, "Ready", events}))
	}
}

// Restored tells that the instance has been taken for restored from a snapshot that was
// not made: failure is "" where that went well, and else the type of its error.
func (f *Feed) Restored(failure string, took time.Duration) {
	done := initDone{Status: status(failure), ErrorType: failure}
	f.platform("platform.restoreRuntimeDone", inTelemetry(done))
	done.Metrics = &times{Duration: inMilliseconds(took)}
	f.platform("platform.restoreReport", inTelemetry(done))
}

// Restoring tells that the instance is about to be taken for restored.
func (f *Feed) Restoring() {
	f.platform("platform.restoreStart", inTelemetry(initStart{Type: f.about.Init, Phase: "restore", Function: f.about.Name, Version: f.about.Version}))
}

// Initialised tells that the instance is ready, or of what type the error was that
// keeps it from being so. Only the first time counts.
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

// Begin tells that an invocation was given to the instance. It is nil where nobody wants
// to know, and everything can be said to a nil Invocation.
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

// Flush returns when everybody has got what there is by now, or ctx ends.
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

// Close delivers what is left where that is possible at once, and ends all goroutines.
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

// Invocation is one of which somebody wants to know. Nil takes everything.
type Invocation struct {
	feed    *Feed
	id      string
	tracing *tracing
	begun   time.Time

	mu                sync.Mutex
	answering, answer time.Time // its first and its last byte
	produced          int64
	failure           string
	done, ended       bool // it was told that the runtime is, that all is
}

// Responding notes that the answer begins.
func (i *Invocation) Responding() {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answering = time.Now()
}

// Responded notes that the answer of so many bytes is there, and of what type the error
// is that it is, "" for none.
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
	None    Cut = iota // it did not: the instance is done with it
	Timeout            // it took too long
	Failure            // the instance has ended
)

// Done tells that the runtime is done with the invocation; extensions may not be.
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

// End tells that the invocation is over, after Done; what is said afterwards is not heard.
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

// outcome is what became of the invocation by now; i is locked.
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

// over tells what there is to tell of an invocation that has ended, but that the runtime is done.
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

// fault is what the Logs API says of an invocation that was cut short.
func fault(done *runtimeDone) string {
	if done.Status == "timeout" {
		return fmt.Sprintf("RequestId: %s Task timed out after %.2f seconds", done.ID, float64(done.Metrics.Duration)/1000)
	}
	return fmt.Sprintf("RequestId: %s Process exited before completing request", done.ID)
}
