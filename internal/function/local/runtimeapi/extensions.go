package runtimeapi

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local/telemetryapi"
)

// The Extensions API (version 2020-01-01) is what agents use that run within an
// instance. Whoever reaches the Runtime API may register: what AWS calls external
// extensions are programs of their own, which somebody else starts and whose names the
// server is told (Expect); all others are internal ones, part of the runtime's process.
//
// An instance is ready when each that has registered has asked for its first event, and
// free when each that was told of the invocation has asked for the next one. Where it
// takes several invocations at once it does not wait to be free, as AWS's managed
// instances, whose extensions hear of no invocation at all.
//
// What they subscribe to is package telemetryapi's.
//
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html

// The events that an extension may register for.
const (
	invokeEvent   = "INVOKE"
	shutdownEvent = "SHUTDOWN"
)

// The bounds of what a function can make the gateway keep. AWS has ten extensions
// at most; one that does not fetch its events loses the oldest.
const (
	mostExtensions   = 10
	mostEvents       = 64
	maxRegisterBytes = 64 << 10
)

// flushTime is how much of the time of their end subscribers get for what is left to
// be told.
const flushTime = 100 * time.Millisecond

// extensionEvent is what an extension fetches.
type extensionEvent struct {
	Type     string   `json:"eventType"`
	Deadline int64    `json:"deadlineMs"`
	ID       string   `json:"requestId,omitempty"`
	ARN      string   `json:"invokedFunctionArn,omitempty"`
	Tracing  *tracing `json:"tracing,omitempty"`
	Reason   string   `json:"shutdownReason,omitempty"`
}

type tracing struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// extension is one that has registered. Its fields are guarded by the list's lock.
type extension struct {
	name     string
	external bool
	events   []string // that it wants
	pending  []extensionEvent
	asking   []*conn       // by which it waits for the next event
	ready    bool          // it has asked for an event
	busy     bool          // it has fetched an INVOKE, and not asked since
	told     bool          // it has fetched its SHUTDOWN
	left     chan struct{} // closed when it asks after that: it has done what it had to
}

// isFree tells whether it has nothing to do with an invocation.
func (e *extension) isFree() bool {
	return !e.busy && !slices.ContainsFunc(e.pending, func(event extensionEvent) bool { return event.Type == invokeEvent })
}

// extensions are those of one instance. The zero value is ready.
type extensions struct {
	mu       sync.Mutex
	byID     map[string]*extension
	expected []string      // names of external ones
	changed  chan struct{} // closed when one registers or asks for the first time; nil where nobody waits for it
	freed    func()        // is called once all are free; nil where nobody waits for it
}

// change wakes who waits for one to register or to ask. The caller has locked mu.
func (e *extensions) change() {
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// await returns when lacks gives nothing any more, or with an error that names what it
// gives when ctx or the server ends. It is called with mu locked.
func (s *Server) await(ctx context.Context, lacks func() string) error {
	e := &s.extensions
	for {
		e.mu.Lock()
		lacking := lacks()
		if e.changed == nil {
			e.changed = make(chan struct{})
		}
		changed := e.changed
		e.mu.Unlock()
		if lacking == "" {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w; %s", context.Cause(ctx), lacking)
		case <-s.ended:
			return s.cause
		}
	}
}

// Expect tells the names of external extensions, before any of them is started.
func (s *Server) Expect(names []string) {
	s.extensions.mu.Lock()
	defer s.extensions.mu.Unlock()
	s.extensions.expected = names
}

// AwaitRegistered returns when all that are expected have registered, or with an error
// that names one that has not when ctx ends.
func (s *Server) AwaitRegistered(ctx context.Context) error {
	return s.await(ctx, func() string {
		for _, name := range s.extensions.expected {
			if !s.extensions.has(name) {
				return "the extension " + name + " has not registered"
			}
		}
		return ""
	})
}

// AwaitExtensions returns when all that have registered have asked for an event, or with
// an error that names one that has not when ctx ends.
func (s *Server) AwaitExtensions(ctx context.Context) error {
	return s.await(ctx, func() string {
		for _, one := range s.extensions.byID {
			if !one.ready {
				return "the extension " + one.name + " has not asked for its first event"
			}
		}
		return ""
	})
}

// has tells whether one of that name has registered. The caller has locked mu.
func (e *extensions) has(name string) bool {
	for _, one := range e.byID {
		if one.name == name {
			return true
		}
	}
	return false
}

// add registers an extension and gives its identifier.
func (e *extensions) add(name string, events []string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.byID) == mostExtensions {
		return "", fmt.Errorf("there are %d extensions already", mostExtensions)
	}
	if e.has(name) {
		return "", fmt.Errorf("the extension %q is registered already", name)
	}
	if e.byID == nil {
		e.byID = map[string]*extension{}
	}
	id := rand.Text()
	e.byID[id] = &extension{name: name, external: slices.Contains(e.expected, name), events: events, left: make(chan struct{})}
	e.change()
	return id, nil
}

// any tells whether there are extensions at all.
func (e *extensions) any() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.byID) > 0
}

// whenFree calls free once all are free, and tells whether it will: where they are
// already, it does not.
func (e *extensions) whenFree(free func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.allFree() {
		return false
	}
	e.freed = free
	return true
}

func (e *extensions) allFree() bool {
	for _, one := range e.byID {
		if !one.isFree() {
			return false
		}
	}
	return true
}

// anybody is of all kinds; outside and inside are the external and the internal ones.
func anybody(*extension) bool     { return true }
func outside(one *extension) bool { return one.external }
func inside(one *extension) bool  { return !one.external }

// tell gives an event to all of a kind that want it, and those.
func (e *extensions) tell(event extensionEvent, whom func(*extension) bool) []*extension {
	told, answers := e.note(event, whom)
	for _, a := range answers {
		a.to.json(http.StatusOK, a.event)
	}
	return told
}

// eventAnswer is an event for a question that waits.
type eventAnswer struct {
	to    *conn
	event extensionEvent
}

// note adds an event to what is pending. It gives those that want it, and what is to be
// answered now.
func (e *extensions) note(event extensionEvent, whom func(*extension) bool) (told []*extension, answers []eventAnswer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, one := range e.byID {
		if !whom(one) || !slices.Contains(one.events, event.Type) {
			continue
		}
		if len(one.pending) == mostEvents {
			one.pending = slices.Delete(one.pending, 0, 1)
		}
		one.pending = append(one.pending, event)
		told = append(told, one)
		if len(one.asking) > 0 {
			answers = append(answers, eventAnswer{one.asking[0], one.take()})
			one.asking = slices.Delete(one.asking, 0, 1)
		}
	}
	return told, answers
}

func (e *extensions) find(id string) (*extension, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	one, ok := e.byID[id]
	return one, ok
}

// first tells whether one asks for an event for the first time.
func (e *extensions) first(one *extension) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := !one.ready
	one.ready = true
	e.change()
	return first
}

// free notes that one is done with what it has fetched, and gives what is to be called
// because of it, nil for nothing.
func (e *extensions) free(one *extension) (freed func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	one.busy = false
	if e.freed != nil && e.allFree() {
		freed, e.freed = e.freed, nil
	}
	return freed
}

// ask gives the oldest event of one, or has c wait for the next.
func (e *extensions) ask(one *extension, c *conn) (extensionEvent, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if one.told {
		one.leave()
	}
	if len(one.pending) == 0 {
		c.putOff()
		one.asking = append(one.asking, c)
		return extensionEvent{}, false
	}
	return one.take(), true
}

// take gives the oldest event, which there is.
func (e *extension) take() extensionEvent {
	event := e.pending[0]
	e.pending = slices.Delete(e.pending, 0, 1)
	e.told = e.told || event.Type == shutdownEvent
	e.busy = event.Type == invokeEvent
	return event
}

// forget drops the questions of a connection that has ended.
func (e *extensions) forget(c *conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, one := range e.byID {
		one.asking = slices.DeleteFunc(one.asking, func(other *conn) bool { return other == c })
	}
}

// Farewell tells the internal extensions that want to know it that the instance is about to
// end, and returns when each of them asks for what comes after that, or ctx ends. What is
// told to them they get before.
func (s *Server) Farewell(ctx context.Context) { s.shutdown(ctx, Spindown, inside) }

// Dismiss does so with the external ones, when the runtime has ended.
func (s *Server) Dismiss(ctx context.Context, why Reason) { s.shutdown(ctx, why, outside) }

// Reason is why an instance ends.
type Reason string

// The reasons.
const (
	Spindown Reason = "SPINDOWN" // it is not needed
	Timeout  Reason = "TIMEOUT"  // it took too long
	Failure  Reason = "FAILURE"  // the runtime or an extension has failed
)

func (s *Server) shutdown(ctx context.Context, why Reason, whom func(*extension) bool) {
	flushing, cancel := context.WithTimeout(ctx, flushTime)
	s.feed.Flush(flushing)
	cancel()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now()
	}
	for _, one := range s.extensions.tell(extensionEvent{Type: shutdownEvent, Reason: string(why), Deadline: deadline.UnixMilli()}, whom) {
		select {
		case <-one.left:
		case <-s.ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

// Left says that an external extension has ended: nobody waits for it any more.
func (s *Server) Left(name string) {
	e := &s.extensions
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, one := range e.byID {
		if one.name == name {
			one.leave()
		}
	}
}

// leave notes that it has done what it had to; the list is locked.
func (e *extension) leave() {
	select {
	case <-e.left:
	default:
		close(e.left)
	}
}

// register takes an extension that names itself and the events that it wants.
func (s *Server) register(c *call) {
	name := c.fields.extensionName
	raw, err := c.readBounded(maxRegisterBytes)
	var events []string
	if err == nil {
		events, err = parseRegistration(raw)
	}
	if err == nil && name == "" {
		err = errors.New("the field Lambda-Extension-Name is missing")
	}
	if err != nil {
		c.refuse(http.StatusBadRequest, "InvalidRequestFormat", err.Error())
		return
	}
	id, err := s.extensions.add(name, events)
	if err != nil {
		c.refuse(http.StatusForbidden, "Extension.RegisterError", err.Error())
		return
	}
	c.json(http.StatusOK, s.about, "Lambda-Extension-Identifier: "+id)
}

// parseRegistration reads which events an extension wants; there may be none.
func parseRegistration(raw []byte) ([]string, error) {
	var wanted struct {
		Events []string `json:"events"`
	}
	if len(raw) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(raw, &wanted); err != nil {
		return nil, fmt.Errorf("the registration cannot be read: %w", err)
	}
	for _, event := range wanted.Events {
		if event != invokeEvent && event != shutdownEvent {
			return nil, fmt.Errorf("%q is neither %s nor %s", event, invokeEvent, shutdownEvent)
		}
	}
	return wanted.Events, nil
}

// nextEvent gives the next event of an extension, once there is one.
func (s *Server) nextEvent(c *call) {
	one := s.known(c)
	if one == nil {
		return
	}
	if s.extensions.first(one) {
		s.feed.Extension(one.name, one.events)
	}
	if freed := s.extensions.free(one); freed != nil {
		freed()
	}
	if event, ok := s.extensions.ask(one, c.conn); ok {
		c.json(http.StatusOK, event)
	}
}

// known gives the extension that c comes from. It has answered c where it gives nil.
func (s *Server) known(c *call) *extension {
	one, ok := s.extensions.find(c.fields.extensionID)
	if !ok {
		c.refuse(http.StatusForbidden, "Extension.InvalidExtensionIdentifier", "no extension has registered by this identifier")
		return nil
	}
	return one
}

// extensionFailed takes an extension's error, of which kind is the type where it says none.
// The instance is of no use any more.
func extensionFailed(kind string) func(*Server, *call) {
	return func(s *Server, c *call) {
		if s.known(c) == nil {
			return
		}
		said := c.readError()
		said.Type = cmp.Or(said.Type, c.fields.extensionError, kind)
		end := s.fail(said)
		c.accept() // before the instance is ended
		end()
	}
}

// Break says that an extension has failed, and with it the instance: what is under way
// ends with that, and so does the start of one that is not ready. Only the first time counts.
func (s *Server) Break(failure *function.Failure) { s.fail(failure)() }

// fail notes the failure of an extension, and gives what ends the instance for it.
func (s *Server) fail(failure *function.Failure) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil || s.isEnded {
		return func() {}
	}
	s.broken = failure
	if !s.isReady && s.initError == nil {
		s.initError = failure
	}
	if s.end == nil {
		return func() {}
	}
	return s.end
}

// OnBreak says how the instance is ended when one of its extensions fails: by end, which
// does not wait.
func (s *Server) OnBreak(end func()) {
	s.mu.Lock()
	s.end = end
	late := s.broken != nil
	s.mu.Unlock()
	if late {
		end()
	}
}

// Broken is why an extension has failed, nil where none has.
func (s *Server) Broken() *function.Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// subscribe takes a wish to be told what happens to the instance, at any time: AWS
// takes it until the first invocation, for which it waits until extensions are ready.
func subscribe(api telemetryapi.API) func(*Server, *call) {
	return func(s *Server, c *call) {
		one := s.known(c)
		if one == nil {
			return
		}
		raw, err := c.readBounded(maxRegisterBytes)
		if err == nil {
			err = s.feed.Subscribe(one.name, api, raw)
		}
		if err != nil {
			c.refuse(http.StatusBadRequest, "ValidationError", err.Error())
			return
		}
		c.json(http.StatusOK, "OK")
	}
}
