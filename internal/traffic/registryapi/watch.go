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

// The events of a watch. One that is told all there is gets reset, a put for each instance, and
// synced; from then on put and delete. They are promises: docs name them.
const (
	Reset     = "reset"     // what was told before counts no more: everything follows
	Put       = "put"       // an instance is there, or is another one
	Delete    = "delete"    // an instance is gone
	Synced    = "synced"    // everything up to this revision was told
	Heartbeat = "heartbeat" // nothing has changed
)

// watch is GET of the changes, until the client leaves.
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
	if last := head.Get("Last-Event-ID"); last != "" { // of a browser's EventSource that comes again
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
		case <-ending.Done(): // the next process, or another gateway, is to be asked
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
	settled bool // the client knows
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
	head.Set("X-Accel-Buffering", "no") // of proxies of nginx's kind
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
		if b.Whole { // a part of everything is nothing to go on from
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

// beat writes that the watch stands, after what has changed meanwhile.
func (s *stream) beat(b registry.Batch) {
	if len(b.Changes) > 0 || b.Whole || b.Settled != s.settled {
		s.batch(b)
		return
	}
	s.stand(Heartbeat, b)
}

// stand writes how far the client is.
func (s *stream) stand(name string, b registry.Batch) {
	s.settled = b.Settled
	s.event(name, b.Revision, func(out []byte) []byte { return strconv.AppendBool(append(out, `,"settled":`...), b.Settled) })
}

// most is how much is gathered before it is written.
const most = 64 << 10

// event writes one event. A revision is one that the client may go on from; "": none.
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
