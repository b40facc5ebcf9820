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

	"github.com/weir-gateway/weir/internal/function/local/telemetryapi"
)

// The Extensions API (version 2020-01-01) is what agents use that run within an
// instance. Whoever reaches the Runtime API may register: what AWS calls external
// extensions are programs in /opt/extensions, which nobody starts here. An instance
// does not wait for its extensions, neither to be ready nor to be free.
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
	name    string
	events  []string // that it wants
	pending []extensionEvent
	asking  []*conn       // by which it waits for the next event
	ready   bool          // it has asked for an event
	told    bool          // it has fetched its SHUTDOWN
	left    chan struct{} // closed when it asks after that: it has done what it had to
}

// extensions are those of one instance. The zero value is ready.
type extensions struct {
	mu   sync.Mutex
	byID map[string]*extension
}

// add registers an extension and gives its identifier.
func (e *extensions) add(name string, events []string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.byID) == mostExtensions {
		return "", fmt.Errorf("there are %d extensions already", mostExtensions)
	}
	for _, other := range e.byID {
		if other.name == name {
			return "", fmt.Errorf("the extension %q is registered already", name)
		}
	}
	if e.byID == nil {
		e.byID = map[string]*extension{}
	}
	id := rand.Text()
	e.byID[id] = &extension{name: name, events: events, left: make(chan struct{})}
	return id, nil
}

// any tells whether there are extensions at all.
func (e *extensions) any() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.byID) > 0
}

// tell gives an event to all that want it, and those.
func (e *extensions) tell(event extensionEvent) []*extension {
	told, answers := e.note(event)
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
func (e *extensions) note(event extensionEvent) (told []*extension, answers []eventAnswer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, one := range e.byID {
		if !slices.Contains(one.events, event.Type) {
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
	return first
}

// ask gives the oldest event of one, or has c wait for the next.
func (e *extensions) ask(one *extension, c *conn) (extensionEvent, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if one.told {
		select {
		case <-one.left:
		default:
			close(one.left)
		}
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

// Shutdown tells the extensions that want to know it that the instance is about to
// end, and returns when each of them asks for what comes after that, or ctx ends.
// The reason is SPINDOWN, TIMEOUT or FAILURE. What is told to them they get before.
func (s *Server) Shutdown(ctx context.Context, reason string) {
	flushing, cancel := context.WithTimeout(ctx, flushTime)
	s.feed.Flush(flushing)
	cancel()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now()
	}
	for _, one := range s.extensions.tell(extensionEvent{Type: shutdownEvent, Reason: reason, Deadline: deadline.UnixMilli()}) {
		select {
		case <-one.left:
		case <-s.ended:
			return
		case <-ctx.Done():
			return
		}
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

// extensionFailed takes an extension's error. Before the instance is ready it is why
// that failed, if it does.
func (s *Server) extensionFailed(c *call) {
	if s.known(c) == nil {
		return
	}
	said := c.readError()
	said.Type = cmp.Or(said.Type, c.fields.extensionError)
	s.mu.Lock()
	if !s.isReady && s.initError == nil {
		s.initError = said
	}
	s.mu.Unlock()
	c.accept()
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
