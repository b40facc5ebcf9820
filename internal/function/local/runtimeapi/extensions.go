package runtimeapi

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

const (
	extensionName = "Lambda-Extension-Name"
	extensionID   = "Lambda-Extension-Identifier"
)

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
	wake    chan struct{} // tells it that something is pending
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
	e.byID[id] = &extension{name: name, events: events, wake: make(chan struct{}, 1), left: make(chan struct{})}
	return id, nil
}

// tell gives an event to all that want it, and those.
func (e *extensions) tell(event extensionEvent) []*extension {
	e.mu.Lock()
	defer e.mu.Unlock()
	var told []*extension
	for _, one := range e.byID {
		if !slices.Contains(one.events, event.Type) {
			continue
		}
		if len(one.pending) == mostEvents {
			one.pending = slices.Delete(one.pending, 0, 1)
		}
		one.pending = append(one.pending, event)
		select {
		case one.wake <- struct{}{}:
		default: // it was told of another one already
		}
		told = append(told, one)
	}
	return told
}

func (e *extensions) find(r *http.Request) (*extension, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	one, ok := e.byID[r.Header.Get(extensionID)]
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

// take gives the oldest event of one, if there is any, and notes that it asks.
func (e *extensions) take(one *extension) (extensionEvent, bool) {
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
		return extensionEvent{}, false
	}
	event := one.pending[0]
	one.pending = slices.Delete(one.pending, 0, 1)
	one.told = one.told || event.Type == shutdownEvent
	return event, true
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

func (s *Server) extensionRoutes(mux *http.ServeMux) {
	const base = "/2020-01-01/extension"
	mux.HandleFunc("POST "+base+"/register", s.register)
	mux.HandleFunc("GET "+base+"/event/next", s.nextEvent)
	mux.HandleFunc("POST "+base+"/init/error", s.extensionFailed)
	mux.HandleFunc("POST "+base+"/exit/error", s.extensionFailed)
	mux.HandleFunc("PUT /2020-08-15/logs", s.subscribe(telemetryapi.Logs))
	mux.HandleFunc("PUT /2022-07-01/telemetry", s.subscribe(telemetryapi.Telemetry))
}

// register takes an extension that names itself and the events that it wants.
func (s *Server) register(w http.ResponseWriter, r *http.Request) {
	name := r.Header.Get(extensionName)
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRegisterBytes))
	var events []string
	if err == nil {
		events, err = parseRegistration(raw)
	}
	if err == nil && name == "" {
		err = errors.New("the field " + extensionName + " is missing")
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequestFormat", err.Error())
		return
	}
	id, err := s.extensions.add(name, events)
	if err != nil {
		refuse(w, http.StatusForbidden, "Extension.RegisterError", err.Error())
		return
	}
	w.Header().Set(extensionID, id)
	writeJSON(w, http.StatusOK, s.about)
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

// nextEvent waits for the next event of an extension.
func (s *Server) nextEvent(w http.ResponseWriter, r *http.Request) {
	one := s.known(w, r)
	if one == nil {
		return
	}
	if s.extensions.first(one) {
		s.feed.Extension(one.name, one.events)
	}
	for {
		if event, ok := s.extensions.take(one); ok {
			writeJSON(w, http.StatusOK, event)
			return
		}
		select {
		case <-one.wake:
		case <-r.Context().Done(): // it will ask again
			return
		case <-s.ended:
			return
		}
	}
}

// known gives the extension that r comes from. It has answered r where it gives nil.
func (s *Server) known(w http.ResponseWriter, r *http.Request) *extension {
	one, ok := s.extensions.find(r)
	if !ok {
		refuse(w, http.StatusForbidden, "Extension.InvalidExtensionIdentifier", "no extension has registered by this identifier")
		return nil
	}
	return one
}

// extensionFailed takes an extension's error. Before the instance is ready it is why
// that failed, if it does.
func (s *Server) extensionFailed(w http.ResponseWriter, r *http.Request) {
	if s.known(w, r) == nil {
		return
	}
	said := readError(r)
	said.Type = cmp.Or(said.Type, r.Header.Get("Lambda-Extension-Function-Error-Type"))
	s.mu.Lock()
	if !s.isReady && s.initError == nil {
		s.initError = said
	}
	s.mu.Unlock()
	accept(w)
}

// subscribe takes a wish to be told what happens to the instance, at any time: AWS
// takes it until the first invocation, for which it waits until extensions are ready.
func (s *Server) subscribe(api telemetryapi.API) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		one := s.known(w, r)
		if one == nil {
			return
		}
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRegisterBytes))
		if err == nil {
			err = s.feed.Subscribe(one.name, api, raw)
		}
		if err != nil {
			refuse(w, http.StatusBadRequest, "ValidationError", err.Error())
			return
		}
		writeJSON(w, http.StatusOK, "OK")
	}
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	body, _ := json.Marshal(value) // texts and numbers always encode
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the instance may be gone
}
