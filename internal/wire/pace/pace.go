// Package pace bounds how slowly a client may send the content of its requests.
//
// Only time counts in which the server waits for the client. A client that takes
// its time for the first bytes, or pauses for a moment, is no attacker, and one
// that has sent plenty may pause for longer; but who has made a server wait for
// longer than its bytes are worth is not waited for any more.
package pace

import "time"

const (
	// Grace is how long a client may be behind its rate altogether.
	Grace = 5 * time.Second
	// Credit is how much waiting a client can earn by sending faster than it must.
	Credit = time.Minute
)

// Pace is how far one client is behind its rate. The zero value is at the start.
type Pace struct {
	late time.Duration // less than 0: it is ahead
}

// Left is how long the client may still be waited for, 0 and less not at all.
func (p *Pace) Left() time.Duration { return Grace - p.late }

// Waited notes that the server has waited for the client, which has sent n bytes
// meanwhile and must send rate bytes a second.
func (p *Pace) Waited(d time.Duration, n, rate int64) {
	worth := d + Grace + Credit // more than that cannot be earned
	if n < int64(worth/time.Second)*rate {
		worth = time.Duration(n * int64(time.Second) / rate)
	}
	p.late = max(p.late+d-worth, -Credit)
}
