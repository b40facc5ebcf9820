package registryapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/base/registry"
)

// The events of a watch. A client that is sent everything gets reset, a put for each instance, and synced; after that
// put and delete. They are promises to clients: the docs state them.
const (
	Reset     = "reset"     // forget what was sent before: everything follows
	Put       = "put"       // an instance is there, or has changed
	Delete    = "delete"    // an instance is gone
	Synced    = "synced"    // everything up to this revision was sent
	Heartbeat = "heartbeat" // nothing has changed
)

// watch handles GET of the changes, until the client leaves.
func (a *API) watch(c *call) error {
	if err := a.reader(c); err != nil {
		return err
	}
	service, _ := httpx.QueryLookup(c.x.Query, "service")
	if service != "" {
		if err := registry.CheckName("service", service); err != nil {
			return err
		}
	}
	from, _ := httpx.QueryLookup(c.x.Query, "from")
	head := exchange.RequestHead(c.r)
	if last := head.Get("Last-Event-ID"); last != "" { // a browser's EventSource that connects again
		from = last
	}
	w, err := a.options.Registry.Watch(service, from)
	if err != nil {
		return err
	}
	defer w.Close()
	s := &stream{w: c.w, control: http.NewResponseController(c.w), events: strings.Contains(head.Get("Accept"), "text/event-stream")}
	s.begin()
	ending := context.Background()
	if c.x.Server != nil {
		ending = c.x.Server.Ending()
	}
	beat := time.NewTicker(a.options.Beat)
	defer beat.Stop()
	for {
		select {
		case <-c.r.Context().Done():
			return nil
		case <-ending.Done(): // the client must ask the next process, or another gateway
			return nil
		case <-a.over.Done():
			return nil
		case <-w.Changed():
			s.batch(w.Next())
			beat.Reset(a.options.Beat)
		case <-beat.C:
			s.beat(w.Next())
		}
		if err := s.flush(); err != nil {
			return nil // the client has left
		}
	}
}

// stream writes events as lines of JSON, or as server-sent events.
type stream struct {
	w       *exchange.Writer
	control *http.ResponseController
	events  bool
	out     []byte
	settled bool // as the client knows it
	failed  error
}

func (s *stream) begin() {
	head := s.w.Head()
	if s.events {
		head.Set("Content-Type", "text/event-stream")
	} else {
		head.Set("Content-Type", "application/x-ndjson")
	}
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no") // for proxies like nginx
	s.w.WriteHeader(http.StatusOK)
}

// batch writes what has changed.
func (s *stream) batch(b registry.Batch) {
	if len(b.Changes) == 0 && !b.Whole && b.Settled == s.settled {
		return
	}
	if b.Whole {
		s.event(Reset, "", nil)
	}
	for i := range b.Changes {
		c := &b.Changes[i]
		if b.Whole { // a client cannot resume from a part of everything
			c.Revision = ""
		}
		if c.Entry.Instance == nil {
			s.event(Delete, c.Revision, func(b []byte) []byte {
				b = jsonx.AppendString(append(b, `,"service":`...), c.Service)
				return jsonx.AppendString(append(b, `,"id":`...), c.ID)
			})
			continue
		}
		s.event(Put, c.Revision, func(b []byte) []byte { return c.Entry.Append(append(b, `,"instance":`...)) })
	}
	s.stand(Synced, b)
}

// beat writes a heartbeat, or what has changed meanwhile.
func (s *stream) beat(b registry.Batch) {
	if len(b.Changes) > 0 || b.Whole || b.Settled != s.settled {
		s.batch(b)
		return
	}
	s.stand(Heartbeat, b)
}

// stand writes up to which revision the client has everything.
func (s *stream) stand(name string, b registry.Batch) {
	s.settled = b.Settled
	s.event(name, b.Revision, func(out []byte) []byte { return strconv.AppendBool(append(out, `,"settled":`...), b.Settled) })
}

// most is how many bytes are gathered before they are written.
const most = 64 << 10

// event writes one event. revision is one from which the client may resume; "": none.
func (s *stream) event(name, revision string, more func([]byte) []byte) {
	b := s.out
	if s.events {
		if revision != "" {
			b = append(append(append(b, "id: "...), revision...), '\n')
		}
		b = append(append(b, "event: "...), name...)
		b = append(b, "\ndata: "...)
	}
	b = append(append(b, `{"event":"`...), name...)
	b = append(b, '"')
	if revision != "" {
		b = jsonx.AppendString(append(b, `,"revision":`...), revision)
	}
	if more != nil {
		b = more(b)
	}
	b = append(b, '}', '\n')
	if s.events {
		b = append(b, '\n')
	}
	if s.out = b; len(b) >= most {
		s.write()
	}
}

func (s *stream) write() {
	if s.failed == nil && len(s.out) > 0 {
		_, s.failed = s.w.Write(s.out)
	}
	s.out = s.out[:0]
}

func (s *stream) flush() error {
	if s.write(); s.failed == nil {
		s.failed = s.control.Flush()
	}
	return s.failed
}
