package web

import (
	"errors"
	"net/http"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/cloud"
)

// Verdict is what an answer's head means to the gateway. The zero value is an answer of
// the function, which is passed on.
type Verdict struct {
	// Refused is the problem that the client is told instead of the answer; nil: the answer is
	// passed on. The platform has not called the function then.
	Refused *fault.Fault
	// Renew tells that another proof may be accepted.
	Renew bool
	// Again tells that the request may be sent once more, if its method is idempotent, for
	// After has gone by; else the answer is passed on.
	Again bool
	After time.Duration
	// Ill tells that the region is out of order.
	Ill bool
}

// Plain judges an answer of a platform that says no more than HTTP does: 429 and 503 tell
// that it may be tried again (RFC 6585 section 4, RFC 9110 section 15.6.4).
func Plain(res *http.Response, _ Proof) Verdict {
	switch res.StatusCode {
	case http.StatusTooManyRequests:
		return Verdict{Again: true, After: After(res)}
	case http.StatusServiceUnavailable:
		return Verdict{Again: true, After: After(res), Ill: true}
	}
	return Verdict{}
}

// After is what Retry-After asks for (RFC 9110 section 10.2.3), 0 where nothing does.
func After(res *http.Response) time.Duration {
	text := exchange.ResponseHead(res).Get("Retry-After")
	if seconds := cloud.Seconds(text); seconds > 0 {
		return seconds
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(time.Until(at), 0), time.Hour)
	}
	return 0
}

// outcome is how one attempt has ended without an answer that is passed on.
type outcome struct {
	err     error
	taken   bool // the function may have been called
	again   bool // another attempt may help
	renew   bool // with another proof
	ill     bool // the region is out of order
	after   time.Duration
	instead *http.Response // what is passed on where no attempt follows, instead of err
}

// unsent is the outcome of an attempt that has got no answer's head.
func unsent(err error) outcome {
	send, ok := errors.AsType[*exchange.SendError](err)
	if !ok {
		return outcome{err: err, taken: true}
	}
	return outcome{err: err, taken: !send.Unprocessed(), again: !send.Refused, ill: true}
}

// judged is the outcome that a verdict means; ok where the answer is passed on.
func judged(v Verdict, res *http.Response) (o outcome, ok bool) {
	switch {
	case v.Refused != nil:
		exchange.Discard(res)
		return outcome{err: v.Refused, renew: v.Renew}, false
	case v.Again:
		return outcome{taken: true, again: true, ill: v.Ill, after: v.After, instead: res}, false
	}
	return outcome{}, true
}
