package web

import (
	"net/http"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/cloud"
)

// Verdict is what the head of an answer means to the gateway. The zero value is an answer of the function, which is
// passed on.
type Verdict struct {
	// Refused is the problem that the client gets instead of the answer. The platform has not called the function then.
	// nil: the answer is passed on.
	Refused *fault.Fault
	// Renew says that another proof may be accepted.
	Renew bool
	// Again says that the request may be sent once more after After, if its method is idempotent. Otherwise the answer
	// is passed on.
	Again bool
	After time.Duration
	// Ill says that the region is out of order.
	Ill bool
}

// Plain judges an answer of a platform that says no more than HTTP does: 429 and 503 mean that the request may be tried
// again (RFC 6585 section 4, RFC 9110 section 15.6.4).
func Plain(res *http.Response, _ Proof) Verdict {
	switch res.StatusCode {
	case http.StatusTooManyRequests:
		return Verdict{Again: true, After: After(res)}
	case http.StatusServiceUnavailable:
		return Verdict{Again: true, After: After(res), Ill: true}
	}
	return Verdict{}
}

// After returns the wait that Retry-After asks for (RFC 9110 section 10.2.3), or 0 if there is none.
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

// outcome is how one attempt has ended without an answer that is passed on at once.
type outcome struct {
	cloud.Failure

	instead *http.Response // passed on instead of Err if no attempt follows
}

// failed returns the outcome of an attempt that could not be made.
func failed(err error, again bool) outcome {
	return outcome{Failure: cloud.Failure{Err: err, Again: again}}
}

// judged returns the outcome that a verdict means. ok says that the answer is passed on.
func judged(v Verdict, res *http.Response) (o outcome, ok bool) {
	switch {
	case v.Refused != nil:
		exchange.Discard(res)
		return outcome{Failure: cloud.Failure{Err: v.Refused, Renew: v.Renew}}, false
	case v.Again:
		return outcome{cloud.Failure{Taken: true, Again: true, Ill: v.Ill, After: v.After}, res}, false
	}
	return outcome{}, true
}
