package service

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/poison"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// errHeadTimeout is the cause with which an attempt is cancelled.
var errHeadTimeout = errors.New("no response head in time")

// attempt is the bookkeeping of one try: it counts as in flight until the response's body
// has ended, and what came of it is known then at last. It knows no endpoint, for that would
// keep the whole list of before for as long as a stream lasts. One with a limit may be used again: see Released.
type attempt struct {
	service *Service
	state   *state        // of its endpoint
	body    *replay       // the client's content; nil: none that could fail
	out     *http.Request // that is sent to the endpoint, in the context bound where there is a limit
	start   int64         // of the pool's clock
	whole   atomic.Int64  // how long it took until the request was wholly sent, and one more; 0: it was not
	limit   time.Duration // for the head; 0: none
	bound   bound         // with limit; below the context of the client, whose end is not the endpoint's
	own     *own          // out is in it, unless it was borrowed
	head    finding       // what the head told

	phase    atomic.Uint32
	settled  atomic.Bool // what came of it was told in the end
	told     bool        // or when its head had come
	borrowed bool        // out is the call's own request
	proves   bool        // whether its endpoint serves again
	counted  bool        // by the breaker

	trial   trial          // with counted
	lasting *time.Timer    // with proves or trial: when it has lasted long enough; nil: none
	call    *http.Response // a gRPC call that goes on, whose trailer tells what came of it; nil: there is none
}

// The phases of an attempt. Whoever leaves waiting first, decides.
const (
	sending uint32 = iota
	waiting
	answered
	timedOut
	ended // the attempt was counted out
)

// never is a time that no timer reaches.
const never = time.Duration(math.MaxInt64)

// attempts are those with a limit that may be used again.
var attempts = sync.Pool{New: func() any { // reused memory
	a := new(attempt)
	a.bound.attempt = a
	return a
}}

// newAttempt begins an attempt for a call with that context. What is not more than 0 is no limit.
func newAttempt(ctx context.Context, limit time.Duration) *attempt {
	if limit <= 0 {
		made := new(struct {
			attempt
			own
		})
		made.attempt.own = &made.own
		made.bound.Under(ctx)
		return &made.attempt
	}
	a, _ := attempts.Get().(*attempt)
	a.limit = limit
	a.bound.Again(ctx)
	return a
}

// own is a request of an attempt.
type own struct {
	out http.Request
	url url.URL
}

// ownRequest makes what is sent for req out of the attempt's own memory.
func (a *attempt) ownRequest(ctx context.Context, req *http.Request) *http.Request {
	if a.limit > 0 {
		ctx = &a.bound
	}
	if a.own == nil {
		a.own = new(own)
	}
	if a.own.out.URL == nil || a.own.out.Context() != ctx { // which that of an attempt with a limit has from its first use on
		a.own.out = *(&http.Request{URL: &a.own.url}).WithContext(ctx)
	}
	exchange.Carry(&a.own.out, req)
	a.own.url = *req.URL
	return &a.own.out
}

// letGo lets go of the request that was sent.
func (a *attempt) letGo() {
	if a.borrowed {
		exchange.Return(a.out)
	} else {
		exchange.Drop(&a.own.out, &a.own.url)
	}
	a.out, a.borrowed = nil, false
}

// Released implements exchange.Returning: nobody has the attempt any more, nor what it has sent, where the response was read
// to its end and nobody has waited for the end of either.
func (a *attempt) Released() {
	if a.phase.Load() != ended || a.limit == 0 || a.body != nil || a.lasting != nil || a.bound.timer.Load() != nil || !a.bound.Leave() {
		return
	}
	a.letGo()
	if poison.On {
		return
	}
	// What belongs to a request is let go of. The rest is written when the next one begins.
	a.service, a.state = nil, nil
	a.head, a.call = finding{}, nil
	if a.settled.Load() {
		a.settled.Store(false)
	}
	a.told, a.proves, a.counted, a.trial = false, false, false, noTrial
	a.limit = 0 // it is released once
	attempts.Put(a)
}

// sent begins the wait for the head; only the first call counts.
func (a *attempt) sent() {
	if a.whole.Load() == 0 {
		a.whole.CompareAndSwap(0, a.took(a.service.pool.Now())+1)
	}
	if a.limit > 0 && a.phase.Load() == sending {
		a.bound.begin()
	}
}

// sentAtOnce is sent for a request that is whole when the attempt begins, before anybody else has the attempt.
func (a *attempt) sentAtOnce() {
	if a.whole.Load() != 1 { // as the one before has mostly left it
		a.whole.Store(1)
	}
	a.phase.Store(waiting)
}

// sentLater says that sent is called, before anybody else has the attempt.
func (a *attempt) sentLater() {
	a.whole.Store(0)
	a.phase.Store(sending)
}

// took is how much time has passed since the attempt began.
func (a *attempt) took(now int64) int64 { return max(0, now-a.start) }

// sentAfter is how long it took until the request was wholly sent, -1 where it was not.
func (a *attempt) sentAfter() time.Duration { return time.Duration(a.whole.Load() - 1) }

// headSeen ends the wait for the head; it tells false where that was over already.
func (a *attempt) headSeen() bool {
	inTime := a.phase.Swap(answered) != timedOut
	a.bound.stop()
	return inTime
}

// abandon counts an attempt out that has panicked, which nobody else does.
func (a *attempt) abandon() {
	a.headSeen()
	a.Ended(nil)
}

// failed gives the error of an attempt without a response.
func (a *attempt) failed(err error, address string) error {
	if a.headSeen() {
		return err
	}
	timeout := exchange.SendError{Sent: exchange.SentAll}
	if send, ok := errors.AsType[*exchange.SendError](err); ok {
		timeout = *send
	}
	timeout.Endpoint, timeout.Timeout, timeout.Err = address, true, errHeadTimeout
	return &timeout
}

// answered takes a plain answer, whose request was wholly sent. Where it has come as a whole its end can tell nothing more.
func (a *attempt) answered(status int, now int64, whole bool) balance.Outcome {
	took := a.took(now)
	if sent := int64(a.sentAfter()); sent < took {
		took -= sent // the time that a client takes for its body is not the endpoint's
	}
	a.head.outcome, a.head.status = balance.Answered, status
	a.service.pool.Answered(&a.state.load, now, time.Duration(took))
	if whole || status == http.StatusSwitchingProtocols || slices.Contains(a.service.selection.Load().Outlier.Statuses, status) {
		a.told = true
		a.settle(&a.head, now)
	}
	return balance.Answered
}

// answer takes what the head told, or err where there is none, and gives what it was. An error
// ends the attempt.
func (a *attempt) answer(res *http.Response, err error, now int64) balance.Outcome {
	took := a.took(now)
	if sent := int64(a.sentAfter()); sent > 0 && sent < took {
		took -= sent
	}
	a.head = a.judge(res, err)
	a.service.pool.Observe(&a.state.load, now, time.Duration(took), a.head.outcome)
	if o := &a.service.selection.Load().Outlier; a.head.final(o) {
		a.told = true
		a.learn(&a.head, o, now)
	}
	if err != nil {
		if a.head.outcome == balance.Failed && unreachable(err) {
			a.state.load.Unreachable(now)
		}
		a.done()
	}
	return a.head.outcome
}

// takesOver has the attempt tell what comes of the request, where that is not known yet. Who
// is on trial and does not end is believed after a while: a stream may last for hours.
func (a *attempt) takesOver(c *call) {
	if a.told {
		return
	}
	a.counted, a.trial, c.counted = c.counted, c.trial, false
	if a.proves || a.trial != noTrial {
		a.lasting = time.AfterFunc(patience, a.lasts)
	}
}

// lasts takes an answer that goes on for a good one.
func (a *attempt) lasts() {
	if !a.settled.Swap(true) {
		a.settle(&finding{outcome: balance.Ended, status: http.StatusOK}, a.service.pool.Now())
	}
}

// Ended implements exchange.Ending. how is io.EOF where the response came to its end, nil where nobody
// wanted the rest of it, and else why it broke off.
func (a *attempt) Ended(how error) {
	if a.lasting != nil {
		a.lasting.Stop()
	}
	if !a.told && !a.settled.Swap(true) {
		a.settleEnd(how)
	}
	a.done()
}

// settleEnd settles what the end of an answer says.
func (a *attempt) settleEnd(how error) {
	f, now := a.judgeEnd(how), a.service.pool.Now()
	if a.call != nil || f.err != nil {
		a.service.pool.Observe(&a.state.load, now, 0, f.outcome)
	}
	a.settle(&f, now)
}

// settle tells what came of the attempt, once.
func (a *attempt) settle(f *finding, now int64) {
	if o := &a.service.selection.Load().Outlier; a.proves || !f.good(o) {
		a.learn(f, o, now)
	} else if o.Ejects() && a.state.phase.Load() == serves {
		a.state.outcomes.good(now, o)
	}
	if a.counted {
		a.service.conclude(a.trial, f.outcome)
	}
}

// done counts the attempt out.
func (a *attempt) done() {
	a.service.pool.Done(&a.state.load)
	if a.limit > 0 {
		a.bound.Cancel(nil)
		a.phase.Store(ended)
	}
}

// telling is a body that tells its end.
type telling interface{ OnEnd(e exchange.Ending) }

// held is one that tells as well whether all of it has come with its head.
type held interface {
	telling

	Whole() bool
}

// follow has the attempt end with the response's body, and tells whether all of that has come.
func (a *attempt) follow(res *http.Response) (whole bool) {
	if b, ok := res.Body.(held); ok {
		b.OnEnd(a)
		return b.Whole()
	}
	if b, ok := res.Body.(telling); ok {
		b.OnEnd(a)
	} else if res.StatusCode == http.StatusSwitchingProtocols {
		a.done() // a wrapper would hide what an upgrade needs of its body
	} else {
		res.Body = &endingBody{ReadCloser: res.Body, end: a.Ended}
	}
	return false
}

// endingBody tells when a body of a transport ends that cannot tell it itself.
type endingBody struct {
	io.ReadCloser

	end    func(how error)
	closed atomic.Bool
	ended  atomic.Bool
}

func (b *endingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !b.closed.Load() {
		b.once(err)
	}
	return n, err
}

func (b *endingBody) Close() error {
	b.closed.Store(true)
	err := b.ReadCloser.Close()
	b.once(nil)
	return err
}

func (b *endingBody) once(how error) {
	if !b.ended.Swap(true) {
		b.end(how)
	}
}
