package cloud

import (
	"context"
	"errors"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

const (
	// mostTries bounds how often a request is sent. If there are more places than that, each may still be tried once.
	mostTries = 3
	// patience is how long a request waits here when the platform says that it should be sent again later. If the
	// platform asks for a longer wait, the client is told instead.
	patience = 2 * time.Second
)

// Failure says why an attempt has brought no answer that can be passed on.
type Failure struct {
	Err   error
	Taken bool          // the function may have been called
	Again bool          // another attempt may help
	Ill   bool          // the place is out of order
	Renew bool          // the caller's proof was not accepted, and another one may be
	After time.Duration // how long the platform asks to wait before another attempt; 0: it does not say
}

// Unsent returns the failure of an attempt that has received no response head.
func Unsent(err error) Failure {
	send, ok := errors.AsType[*exchange.SendError](err)
	if !ok {
		return Failure{Err: err, Taken: true}
	}
	return Failure{Err: err, Taken: !send.Unprocessed(), Again: !send.Refused, Ill: true}
}

// Unproved returns the error for a call that has no proof of who is calling, because of err, or whose ctx has ended
// while it waited for one.
func Unproved(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return fault.CredentialsMissing.New("", fault.RetryAfter(time.Second), fault.Cause(err))
}

// Round is the order in which one request goes to places, such as a function's regions. It goes to each of them once,
// in their own order except that resting ones come last, and then starts again. The zero value has tried no place. It
// is not safe for concurrent use.
type Round struct {
	places  int
	at      int  // where the request was sent last
	tried   uint // a bit for each place that was tried in this round
	tries   int
	renewed bool
}

// Next returns the place to try. Places are numbered from 0 to places-1.
func (r *Round) Next(places int, resting func(place int) bool) int {
	r.places = places
	if !r.elsewhere() {
		r.tried = 0
	}
	r.at = -1
	for i := range places {
		if r.tried&(1<<i) != 0 {
			continue
		}
		if r.at < 0 {
			r.at = i
		}
		if !resting(i) {
			r.at = i
			break
		}
	}
	r.tried |= 1 << r.at
	r.tries++
	return r.at
}

// elsewhere reports whether a place was not tried in this round.
func (r *Round) elsewhere() bool { return r.tried != 1<<r.places-1 }

// Tries returns how often the request was sent so far.
func (r *Round) Tries() int { return r.tries }

// Renewed reports whether the request was sent again with another proof, which is done only once.
func (r *Round) Renewed() bool { return r.renewed }

// Again decides whether a request with the given method may and should be sent once more after f, and waits until it is
// time. The caller must have checked that the request can still be sent in full.
//
// Sending it with another proof costs no retry, because the request was not accepted. If the wait would be too long,
// nothing is sent, so no retry is taken from the budget that others may need. Going to another place at once does cost
// a retry: otherwise, in an outage of other regions, each region would get the requests of all of them.
func (r *Round) Again(ctx context.Context, method string, f Failure, retries *Retries) bool {
	switch elsewhere := r.elsewhere(); {
	case ctx.Err() != nil:
		return false
	case f.Renew:
		return r.renew()
	case !f.Again, r.tries >= max(mostTries, r.places), f.Taken && !httpx.IsIdempotent(method):
		return false
	case !elsewhere && f.After > patience, !retries.Spend():
		return false
	case elsewhere:
		return true
	case f.After > 0:
		return sleep(ctx, f.After)
	}
	return exchange.Pause(ctx, r.tries) == nil
}

// renew makes Next choose the same place once more.
func (r *Round) renew() bool {
	first := !r.renewed
	r.renewed = true
	if first {
		r.tried &^= 1 << r.at
	}
	return first
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
