package listen

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/wire/http1"
	"github.com/weir-gateway/weir/internal/wire/http2"
)

// Endings returns all reasons that Options.Ended may be called with: names of limits that were reached, and h2_ with
// the kind of HTTP/2 frames that led nowhere.
func Endings() []string {
	all := []string{endedBodyRate, endedConnections, endedPerClient}
	for r := range http2.Reasons() {
		all = append(all, r.String())
	}
	slices.Sort(all)
	return all
}

const (
	endedBodyRate    = "body_rate"
	endedConnections = "connections"
	endedPerClient   = "per_client"
)

// endings reports clients that were cut off: each one to the function that counts them, and now and then one to the
// log.
type endings struct {
	told func(reason string) // nil: nobody
	log  *slog.Logger

	mu   sync.Mutex
	last map[string]notice
}

// notice is the state of the log for one reason.
type notice struct {
	next  time.Time // the earliest time of the next line
	since int       // how many were not logged since the last line
}

// logEvery is how often the same reason is logged.
const logEvery = 10 * time.Second

func newEndings(told func(string), log *slog.Logger) *endings {
	return &endings{told: told, log: log, last: map[string]notice{}}
}

// tell reports that a client was cut off.
func (e *endings) tell(reason string, peer net.Addr) {
	if e.told != nil {
		e.told(reason)
	}
	if since, now := e.turn(reason); now {
		e.log.Log(context.Background(), levelOf(reason), "a client was cut off", "reason", reason, "peer", peer.String(), "others", since)
	}
}

// turn reports whether it is time for a line about reason, and how many others the line stands for.
func (e *endings) turn(reason string) (since int, now bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.last[reason]
	if time.Now().Before(n.next) {
		n.since++
		e.last[reason] = n
		return 0, false
	}
	e.last[reason] = notice{next: time.Now().Add(logEvery)}
	return n.since, true
}

// levelOf returns DEBUG for what happens all day: clients that connect before they need to.
func levelOf(reason string) slog.Level {
	if reason == http2.FirstRequest.String() || reason == http2.HeadTime.String() {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

// slow reports a client that a Sieve found too slow.
func (e *endings) slow(peer net.Addr, r http1.Reason, first bool) {
	switch {
	case r == http1.ContentTooSlow:
		e.tell(endedBodyRate, peer)
	case first:
		e.tell(http2.FirstRequest.String(), peer)
	default:
		e.tell(http2.HeadTime.String(), peer)
	}
}

// frames reports a client that a Meter has cut off.
func (e *endings) frames(peer net.Addr, r http2.Reason) { e.tell(r.String(), peer) }
