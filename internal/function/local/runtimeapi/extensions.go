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

// The Extensions API (version 2020-01-01) is for agents that run within an instance. Any program that reaches the
// Runtime API may register. Programs of their own are external extensions in AWS's terms: the caller starts them and
// tells the server their names (Expect). All others are internal ones, part of the runtime's process.
//
// An instance is ready when each registered extension has asked for its first event, and free when each extension that
// was told of the invocation has asked for the next event. If it takes several invocations at once, it does not wait
// for extensions to be free. AWS's managed instances do not wait either: their extensions are told of no invocations at
// all.
//
// Package telemetryapi serves what extensions subscribe to.
//
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html

// The events that an extension may register for.
const (
	invokeEvent   = "INVOKE"
	shutdownEvent = "SHUTDOWN"
)

// The bounds of what a function can make the gateway keep. AWS allows ten extensions at most. An extension that does
// not fetch its events loses the oldest.
const (
	mostExtensions   = 10
	mostEvents       = 64
	maxRegisterBytes = 64 << 10
)

// flushTime is the part of an extension's shutdown time in which subscribers get the remaining records.
const flushTime = 100 * time.Millisecond

// extensionEvent is an event that an extension fetches.
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

// extension is a registered extension. Its fields are guarded by the list's lock.
type extension struct {
	name     string
	external bool
	events   []string // that it has registered for
	pending  []extensionEvent
	asking   []*conn       // on which it waits for the next event
	ready    bool          // it has asked for an event
	busy     bool          // it has fetched an INVOKE, and has not asked since
	told     bool          // it has fetched its SHUTDOWN
	left     chan struct{} // closed when it asks after that: it has finished its work
}

// isFree reports whether it has nothing left to do with an invocation.
func (e *extension) isFree() bool {
	return !e.busy && !slices.ContainsFunc(e.pending, func(event extensionEvent) bool { return event.Type == invokeEvent })
}

// extensions are the extensions of one instance. The zero value is ready.
type extensions struct {
	mu       sync.Mutex
	byID     map[string]*extension
	expected []string      // names of external extensions
	changed  chan struct{} // closed when one registers or asks for the first time; nil if nothing waits for it
	freed    func()        // called once all are free; nil if nothing waits for it
}

// change wakes those that wait for an extension to register or to ask. The caller has locked mu.
func (e *extensions) change() {
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// await returns when lacks returns "", or, when ctx or the server ends, with an error that names what is lacking. lacks
// is called with mu locked.
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

// Expect sets the names of external extensions, before any of them is started.
func (s *Server) Expect(names []string) {
	s.extensions.mu.Lock()
	defer s.extensions.mu.Unlock()
	s.extensions.expected = names
}

// AwaitRegistered returns when all expected extensions have registered, or, when ctx ends, with an error that names one
// that has not.
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

// AwaitExtensions returns when all registered extensions have asked for an event, or, when ctx ends, with an error that
// names one that has not.
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

// has reports whether an extension of that name has registered. The caller has locked mu.
func (e *extensions) has(name string) bool {
	for _, one := range e.byID {
		if one.name == name {
			return true
		}
	}
	return false
}

// add registers an extension and returns its identifier.
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

// any reports whether there are any extensions.
func (e *extensions) any() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.byID) > 0
}

// whenFree arranges for free to be called once all extensions are free, and reports whether it will be: if they are
// already free, it is not called.
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

// anybody selects all kinds; outside and inside select the external and the internal extensions.
func anybody(*extension) bool     { return true }
func outside(one *extension) bool { return one.external }
func inside(one *extension) bool  { return !one.external }

// tell gives an event to all extensions of a kind that want it, and returns those extensions.
func (e *extensions) tell(event extensionEvent, whom func(*extension) bool) []*extension {
	told, answers := e.note(event, whom)
	for _, a := range answers {
		a.to.json(http.StatusOK, a.event)
	}
	return told
}

// eventAnswer is an event for a call that waits.
type eventAnswer struct {
	to    *conn
	event extensionEvent
}

// note adds an event to what is pending. It returns the extensions that want it, and the answers to send now.
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

// first reports whether an extension asks for an event for the first time.
func (e *extensions) first(one *extension) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := !one.ready
	one.ready = true
	e.change()
	return first
}

// free records that an extension has finished what it has fetched, and returns the function to call because of it, nil
// for none.
func (e *extensions) free(one *extension) (freed func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	one.busy = false
	if e.freed != nil && e.allFree() {
		freed, e.freed = e.freed, nil
	}
	return freed
}

// ask returns an extension's oldest event, or makes c wait for the next one.
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

// take returns the oldest event. There must be one.
func (e *extension) take() extensionEvent {
	event := e.pending[0]
	e.pending = slices.Delete(e.pending, 0, 1)
	e.told = e.told || event.Type == shutdownEvent
	e.busy = event.Type == invokeEvent
	return event
}

// forget drops the waiting calls of a connection that has ended.
func (e *extensions) forget(c *conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, one := range e.byID {
		one.asking = slices.DeleteFunc(one.asking, func(other *conn) bool { return other == c })
	}
}

// Farewell tells the internal extensions that have registered for it that the instance is about to end. It returns when
// each of them asks for what comes after that, or ctx ends. They get pending telemetry before.
func (s *Server) Farewell(ctx context.Context) { s.shutdown(ctx, Spindown, inside) }

// Dismiss does the same for the external extensions, when the runtime has ended.
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

// Left says that an external extension has ended, so that nothing waits for it any more.
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

// leave records that it has finished its work. The list is locked.
func (e *extension) leave() {
	select {
	case <-e.left:
	default:
		close(e.left)
	}
}

// register registers an extension, which sends its name and the events that it wants.
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

// parseRegistration reads which events an extension wants. There may be none.
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

// nextEvent returns an extension's next event, once there is one.
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

// known returns the extension that sent c. If it returns nil, it has answered c.
func (s *Server) known(c *call) *extension {
	one, ok := s.extensions.find(c.fields.extensionID)
	if !ok {
		c.refuse(http.StatusForbidden, "Extension.InvalidExtensionIdentifier", "no extension has registered by this identifier")
		return nil
	}
	return one
}

// extensionFailed handles an extension's error; kind is its type if the extension sends none. The instance is no longer
// usable.
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

// Break says that an extension has failed, and the instance with it. Invocations in progress end with that failure, and
// so does the start of an instance that is not ready. Only the first call counts.
func (s *Server) Break(failure *function.Failure) { s.fail(failure)() }

// fail records the failure of an extension, and returns the function that ends the instance because of it.
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

// OnBreak sets how the instance is ended when one of its extensions fails: by end, which does not wait.
func (s *Server) OnBreak(end func()) {
	s.mu.Lock()
	s.end = end
	late := s.broken != nil
	s.mu.Unlock()
	if late {
		end()
	}
}

// Broken returns the failure of an extension, nil if none has failed.
func (s *Server) Broken() *function.Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// subscribe handles a request to be told what happens to the instance. It accepts one at any time. AWS accepts one
// until the first invocation, for which it waits until extensions are ready.
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
