package telemetry

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Socket counts the client connections of one socket. It is safe for concurrent
// use; a nil *Socket counts nothing.
type Socket struct {
	name     string
	accepted atomic.Uint64
	open     atomic.Int64
	refused  [refusals]atomic.Uint64
	ended    sync.Map // of *atomic.Uint64 by reason
}

// Refusal is why a connection was not served.
type Refusal int

// The reasons.
const (
	RefusedFiles Refusal = iota // the process has no file descriptor left
	RefusedTLS                  // the handshake failed, or took too long
	refusals
)

func refusalNames() [refusals]string {
	return [refusals]string{RefusedFiles: "files", RefusedTLS: "tls"}
}

// Opened counts a connection that was accepted; Closed must follow.
func (s *Socket) Opened() {
	if s != nil {
		s.accepted.Add(1)
		s.open.Add(1)
	}
}

// Closed counts the end of a connection that Opened has counted.
func (s *Socket) Closed() {
	if s != nil {
		s.open.Add(-1)
	}
}

// Refused counts a connection that was not served.
func (s *Socket) Refused(why Refusal) {
	if s != nil {
		s.refused[why].Add(1)
	}
}

// Ended counts a connection that was cut off, or not accepted, because of what its client did. There must be few
// reasons.
func (s *Socket) Ended(reason string) {
	if s == nil {
		return
	}
	n, ok := s.ended.Load(reason)
	if !ok {
		n, _ = s.ended.LoadOrStore(reason, new(atomic.Uint64))
	}
	n.(*atomic.Uint64).Add(1) //nolint:forcetypeassert // nothing else is stored
}

type socketDescs struct{ accepted, open, refused, ended *prometheus.Desc }

func newSocketDescs() socketDescs {
	return socketDescs{
		accepted: describe("weir_connections_accepted_total", "Client connections that were let in.", "socket"),
		open:     describe("weir_connections_open", "Client connections that are open, upgraded ones included.", "socket"),
		refused:  describe("weir_connections_refused_total", "Client connections that were not served, by reason.", "socket", "reason"),
		ended:    describe("weir_connections_ended_total", "Client connections that were cut off, or not let in, for what the client did or how many there were, by the limit that was reached.", "socket", "reason"),
	}
}

func (s *Socket) collect(d *socketDescs, out chan<- prometheus.Metric) {
	out <- counter(d.accepted, s.accepted.Load(), s.name)
	out <- gauge(d.open, float64(s.open.Load()), s.name)
	for i, name := range refusalNames() {
		out <- counter(d.refused, s.refused[i].Load(), s.name, name)
	}
	s.ended.Range(func(reason, n any) bool {
		out <- counter(d.ended, n.(*atomic.Uint64).Load(), s.name, reason.(string)) //nolint:forcetypeassert // as in Ended
		return true
	})
}
