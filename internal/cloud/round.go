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
	// mostTries bounds how often a request is sent; each place has one try at least.
	mostTries = 3
	// patience is how long a request waits here when the platform says that it should be
	// sent again later. Where it says a longer time, the client is told.
	patience = 2 * time.Second
)

// Failure is why an attempt has brought no answer that is passed on.
type Failure struct {
	Err   error
	Taken bool          // the function may have been called
	Again bool          // another attempt may help
	Ill   bool          // the place is out of order
	Renew bool          // who calls was not accepted, and may be by another proof
	After time.Duration // when the platform wants to see another attempt; 0: it does not say
}

// Unsent is the failure of an attempt that has got no answer's head.
func Unsent(err error) Failure {
	send, ok := errors.AsType[*exchange.SendError](err)
	if !ok {
		return Failure{Err: err, Taken: true}
	}
	return Failure{Err: err, Taken: !send.Unprocessed(), Again: !send.Refused, Ill: true}
}

// Unproved tells that there is nothing to prove with who is calling, which err says of, or that
// ctx has ended while that was waited for.
func Unproved(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return fault.CredentialsMissing.New("", fault.RetryAfter(time.Second), fault.Cause(err))
}

// Round is the order in which one request goes to places, such as a function's regions: to
// each of them once, in their own order but with those that rest last, and then from
// the start. The zero value has been nowhere. It is not safe for concurrent use.
type Round struct {
	places  int
	at      int  // where it was sent last
	tried   uint // a bit for each place that was tried in this round
	tries   int
	renewed bool
}

// Next gives the place to try, of so many that are numbered from 0.
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

// elsewhere tells whether there is a place that was not tried in this round.
func (r *Round) elsewhere() bool { return r.tried != 1<<r.places-1 }

// Tries is how often the request was sent so far.
func (r *Round) Tries() int { return r.tries }

// Renewed tells whether it was sent again with another proof, which helps once.
func (r *Round) Renewed() bool { return r.renewed }

// Again tells whether a request of a method may and should be sent once more after f, and waits
// for the moment. What it is sent with must be there in whole.
//
// Another proof costs nothing, for the request was not taken. A wait that is too long is no
// try, so it takes nothing of what others may need; going elsewhere at once is one, for else
// each region would get the requests of all others in an outage of theirs.
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

// renew has the same place tried once more.
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
