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

// errHeadTimeout is the cause with which an attempt is cancelled when its head does not come in time.
var errHeadTimeout = errors.New("no response head in time")

// attempt is the bookkeeping of one try. It counts as in flight until the response's body has ended, and its outcome is
// final only then. It holds no pointer to an endpoint, because that would keep the whole replaced list in memory for as
// long as a stream lasts. The memory of an attempt with a limit may be reused: see Released.
type attempt struct {
	service *Service
	state   *state        // of its endpoint
	body    *replay       // the client's request body; nil: none that could fail
	out     *http.Request // sent to the endpoint; its context is bound if there is a limit
	start   int64         // of the pool's clock
	whole   atomic.Int64  // time until the request was fully sent, plus 1; 0: not yet sent
	limit   time.Duration // for the head; 0: none
	bound   bound         // used with limit; a child of the client's context, whose end is not the endpoint's doing
	own     *own          // holds out, unless out was borrowed
	head    finding       // what the head showed

	phase    atomic.Uint32
	settled  atomic.Bool // the final outcome was reported
	told     bool        // or it was reported already when the head came
	borrowed bool        // out is the call's own request
	proves   bool        // it proves whether its ejected endpoint serves again
	counted  bool        // by the breaker

	trial   trial          // with counted
	lasting *time.Timer    // with proves or trial: fires once the answer has lasted long enough; nil: none
	call    *http.Response // a gRPC call still under way, whose trailer gives the outcome; nil: none
}

// The phases of an attempt. Whichever goroutine moves it out of waiting first decides the outcome.
const (
	sending uint32 = iota
	waiting
	answered
	timedOut
	ended // the attempt was counted out
)

// never is a time that no timer reaches.
const never = time.Duration(math.MaxInt64)

// attempts holds attempts with a limit, whose memory may be reused.
var attempts = sync.Pool{New: func() any { // reused memory
	a := new(attempt)
	a.bound.attempt = a
	return a
}}

// newAttempt begins an attempt for a call with the given context. A limit of 0 or less is no limit.
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

// own is the request of an attempt that has not borrowed the call's request.
type own struct {
	out http.Request
	url url.URL
}

// ownRequest builds the request to send for req in the attempt's own memory.
func (a *attempt) ownRequest(ctx context.Context, req *http.Request) *http.Request {
	if a.limit > 0 {
		ctx = &a.bound
	}
	if a.own == nil {
		a.own = new(own)
	}
	if a.own.out.URL == nil || a.own.out.Context() != ctx { // an attempt with a limit has this context from its first use on
		a.own.out = *(&http.Request{URL: &a.own.url}).WithContext(ctx)
	}
	exchange.Carry(&a.own.out, req)
	a.own.url = *req.URL
	return &a.own.out
}

// letGo releases the request that was sent.
func (a *attempt) letGo() {
	if a.borrowed {
		exchange.Return(a.out)
	} else {
		exchange.Drop(&a.own.out, &a.own.url)
	}
	a.out, a.borrowed = nil, false
}

// Released implements exchange.Returning: the response was read to its end, and nothing holds the attempt any more, nor
// the request that it sent. The memory is reused only if the attempt had a limit and no body of the client, no timer was
// made for it, and nothing has waited for the end of its context.
func (a *attempt) Released() {
	if a.phase.Load() != ended || a.limit == 0 || a.body != nil || a.lasting != nil || a.bound.timer.Load() != nil || !a.bound.Leave() {
		return
	}
	a.letGo()
	if poison.On {
		return
	}
	// Clear what belongs to a request. The other fields are written when the next attempt begins.
	a.service, a.state = nil, nil
	a.head, a.call = finding{}, nil
	if a.settled.Load() {
		a.settled.Store(false)
	}
	a.told, a.proves, a.counted, a.trial = false, false, false, noTrial
	a.limit = 0 // it is released only once
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

// sentAtOnce is the counterpart of sent for a request that is complete when the attempt begins. It is called before
// anything else has access to the attempt.
func (a *attempt) sentAtOnce() {
	if a.whole.Load() != 1 { // the previous use of this memory has mostly left 1 here
		a.whole.Store(1)
	}
	a.phase.Store(waiting)
}

// sentLater notes that sent will be called. It is called before anything else has access to the attempt.
func (a *attempt) sentLater() {
	a.whole.Store(0)
	a.phase.Store(sending)
}

// took returns how much time has passed since the attempt began.
func (a *attempt) took(now int64) int64 { return max(0, now-a.start) }

// sentAfter returns how long it took until the request was fully sent, or -1 if it was not.
func (a *attempt) sentAfter() time.Duration { return time.Duration(a.whole.Load() - 1) }

// headSeen ends the wait for the head; it returns false if the wait was already over.
func (a *attempt) headSeen() bool {
	inTime := a.phase.Swap(answered) != timedOut
	a.bound.stop()
	return inTime
}

// abandon counts out an attempt that has panicked, which nothing else does.
func (a *attempt) abandon() {
	a.headSeen()
	a.Ended(nil)
}

// failed returns the error of an attempt without a response.
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

// answered handles a plain answer whose request was fully sent. If the answer has come as a whole, its end can add
// nothing.
func (a *attempt) answered(status int, now int64, whole bool) balance.Outcome {
	took := a.took(now)
	if sent := int64(a.sentAfter()); sent < took {
		took -= sent // the time that a client takes to send its body is not the endpoint's
	}
	a.head.outcome, a.head.status = balance.Answered, status
	a.service.pool.Answered(&a.state.load, now, time.Duration(took))
	if whole || status == http.StatusSwitchingProtocols || slices.Contains(a.service.selection.Load().Outlier.Statuses, status) {
		a.told = true
		a.settle(&a.head, now)
	}
	return balance.Answered
}

// answer handles the head of the response, or err if there is none, and returns the outcome. An error ends the attempt.
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

// takesOver makes the attempt report the outcome of the request if that is not known yet. An attempt on trial that does
// not end is believed after a while, because a stream may last for hours.
func (a *attempt) takesOver(c *call) {
	if a.told {
		return
	}
	a.counted, a.trial, c.counted = c.counted, c.trial, false
	if a.proves || a.trial != noTrial {
		a.lasting = time.AfterFunc(patience, a.lasts)
	}
}

// lasts treats an answer that goes on for long enough as a good one.
func (a *attempt) lasts() {
	if !a.settled.Swap(true) {
		a.settle(&finding{outcome: balance.Ended, status: http.StatusOK}, a.service.pool.Now())
	}
}

// Ended implements exchange.Ending. how is io.EOF if the response came to its end, nil if nobody wanted the rest of it,
// and otherwise the reason why it broke off.
func (a *attempt) Ended(how error) {
	if a.lasting != nil {
		a.lasting.Stop()
	}
	if !a.told && !a.settled.Swap(true) {
		a.settleEnd(how)
	}
	a.done()
}

// settleEnd settles the attempt by the end of its answer.
func (a *attempt) settleEnd(how error) {
	f, now := a.judgeEnd(how), a.service.pool.Now()
	if a.call != nil || f.err != nil {
		a.service.pool.Observe(&a.state.load, now, 0, f.outcome)
	}
	a.settle(&f, now)
}

// settle reports the outcome of the attempt, once.
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

// done counts the attempt out: it is no longer in flight.
func (a *attempt) done() {
	a.service.pool.Done(&a.state.load)
	if a.limit > 0 {
		a.bound.Cancel(nil)
		a.phase.Store(ended)
	}
}

// telling is a body that reports its end.
type telling interface{ OnEnd(e exchange.Ending) }

// held is a telling body that also reports whether all of it came with its head.
type held interface {
	telling

	Whole() bool
}

// follow makes the attempt end with the response's body, and reports whether all of the body has come.
func (a *attempt) follow(res *http.Response) (whole bool) {
	if b, ok := res.Body.(held); ok {
		b.OnEnd(a)
		return b.Whole()
	}
	if b, ok := res.Body.(telling); ok {
		b.OnEnd(a)
	} else if res.StatusCode == http.StatusSwitchingProtocols {
		a.done() // a wrapper would hide what an upgrade needs of the body
	} else {
		res.Body = &endingBody{ReadCloser: res.Body, end: a.Ended}
	}
	return false
}

// endingBody reports the end of a body whose transport cannot report it itself.
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
