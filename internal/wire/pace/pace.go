// Package pace limits how slowly a client may send the content of its requests.
//
// Only the time in which the server waits for the client counts. A client that takes its time for the first bytes, or
// pauses for a moment, is not an attacker, and a client that has sent plenty may pause for longer. But once a client
// has made the server wait for longer than its bytes are worth, the server stops waiting for it.
package pace

import "time"

const (
	// Grace is how far a client may fall behind its rate in total.
	Grace = 5 * time.Second
	// Credit is how much waiting time a client can earn by sending faster than it must.
	Credit = time.Minute
)

// Pace is how far one client is behind its rate. The zero value is a client that has just started.
type Pace struct {
	late time.Duration // below 0: the client is ahead
}

// Left returns how much longer the server may wait for the client; at 0 or less, not at all.
func (p *Pace) Left() time.Duration { return Grace - p.late }

// Waited records that the server has waited for the client for d, during which the client has sent n bytes, and that it
// must send rate bytes a second.
func (p *Pace) Waited(d time.Duration, n, rate int64) {
	worth := d + Grace + Credit // the most that can be earned
	if n < int64(worth/time.Second)*rate {
		worth = time.Duration(n * int64(time.Second) / rate)
	}
	p.late = max(p.late+d-worth, -Credit)
}
