package service

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// finding is the outcome of an attempt, as far as it is known.
type finding struct {
	outcome balance.Outcome // what the choice of endpoints and the breaker go by
	status  int             // of the answer, or the one that its gRPC status stands for; 0: unknown
	grpc    string          // the name of a gRPC status that stands for an error; "": no such status
	err     error           // why there is no answer, or why it broke off
}

// lesson is what an attempt says about its endpoint.
type lesson uint8

const (
	nothing lesson = iota // it was not the endpoint's doing, or that is unknown
	served
	failed
	lost // it failed because its connection could not be made or broke, which a check would notice too
)

// good reports whether a finding speaks for its endpoint.
func (f *finding) good(o *config.Outlier) bool {
	return f.err == nil && f.status != 0 && !slices.Contains(o.Statuses, f.status)
}

// lesson returns what a finding says about its endpoint, and why if it failed.
func (f *finding) lesson(o *config.Outlier) (lesson, string) {
	switch {
	case f.err != nil:
		return f.broke()
	case f.status == 0:
		return nothing, ""
	case !slices.Contains(o.Statuses, f.status):
		return served, ""
	case f.grpc != "":
		return failed, "gRPC status " + f.grpc
	}
	return failed, fmt.Sprintf("status %d", f.status)
}

// broke returns the lesson of an error.
func (f *finding) broke() (lesson, string) {
	if f.outcome != balance.Failed {
		return nothing, ""
	}
	send, ok := errors.AsType[*exchange.SendError](f.err)
	switch {
	case !ok:
		return failed, fault.From(f.err).Title
	case send.Refused:
		return nothing, ""
	case send.Sent == exchange.SentHeadSeen:
		return failed, "the answer broke off: " + send.Err.Error()
	case send.Timeout && !send.Dial:
		return failed, send.Err.Error()
	}
	return lost, send.Err.Error()
}

// final reports whether nothing that follows a head can change what the head said.
func (f *finding) final(o *config.Outlier) bool {
	return f.err != nil || f.outcome == balance.Failed || f.status == http.StatusSwitchingProtocols || slices.Contains(o.Statuses, f.status)
}

// isPlain reports whether a head is a good answer whatever else it says, as nearly every head is: no failure, no gRPC
// call, and not Late.
func isPlain(res *http.Response) bool {
	return res.StatusCode < http.StatusInternalServerError && res.StatusCode != lateStatus && res.ProtoMajor != 2
}

// judge returns what a head says, or err if there is no head.
func (a *attempt) judge(res *http.Response, err error) finding {
	if err != nil {
		return finding{outcome: a.judgeError(err), err: err}
	}
	f := finding{outcome: balance.Answered, status: res.StatusCode}
	switch {
	case f.status >= http.StatusInternalServerError && slices.Contains(failing(), f.status):
		f.outcome = balance.Failed
	case f.status >= http.StatusInternalServerError && !slices.Contains(asked(), f.status):
		f.outcome = balance.Doubtful
	case res.ProtoMajor == 2 && exchange.IsGRPC(2, exchange.ResponseHead(res)):
		if f = a.judgeAnswered(res); f.outcome != balance.Began {
			return f
		}
	}
	if f.outcome < balance.Doubtful && (a.sentAfter() < 0 || isLate(res)) {
		f.outcome = balance.Untold // it answers before it has read the whole request: how long that takes is unknown
	}
	return f
}

// judgeAnswered returns what the head of a gRPC call says. Most calls say only in their trailer how they ended. A
// gRPC-Web call says so in its content.
func (a *attempt) judgeAnswered(res *http.Response) finding {
	if head := exchange.ResponseHead(res); head.Get("Grpc-Status") != "" {
		return judgeCall(head)
	}
	a.call = res
	return finding{outcome: balance.Began, status: res.StatusCode}
}

// judgeEnd returns what the end of an answer says if the head did not settle the outcome. how is the argument of Ended.
func (a *attempt) judgeEnd(how error) finding {
	whole := isEnd(how)
	switch {
	case how != nil && !whole && !a.left():
		return finding{outcome: balance.Failed, err: how}
	case a.call == nil:
		return a.head
	case !whole:
		return finding{} // nobody waited for what its end says
	}
	return judgeCall(exchange.ResponseTrailer(a.call))
}

// isEnd reports whether err is io.EOF. That is compared without unwrapping: a body's end gives it bare, and the error
// of a connection that breaks off may wrap one.
func isEnd(err error) bool { return err == io.EOF } //nolint:errorlint // see above

// left reports whether the client's side has ended the attempt.
func (a *attempt) left() bool {
	return a.bound.Parent().Err() != nil || a.body != nil && a.body.failed() != nil
}

// failing returns the statuses that say that the backend could not serve just now, whatever was asked for.
func failing() []int {
	return []int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}
}

// asked returns the 5xx statuses that say something about what was asked for, and nothing about an endpoint.
func asked() []int {
	return []int{http.StatusNotImplemented, http.StatusHTTPVersionNotSupported}
}

func (a *attempt) judgeError(err error) balance.Outcome {
	switch {
	case a.body != nil && a.body.failed() != nil:
		return balance.Untold // the client's side ended it
	case a.body.wasSevered():
		return balance.Failed
	case a.bound.Parent().Err() != nil && a.sentAfter() < 0:
		return balance.Untold
	case a.bound.Parent().Err() != nil:
		return balance.Lasted
	}
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		if f.Code == fault.BackendInvalid.Code {
			return balance.Failed
		}
		return balance.Untold
	}
	send, ok := errors.AsType[*exchange.SendError](err)
	if !ok || send.GoAway || send.Reused && send.Sent == exchange.SentNothing {
		return balance.Untold // the server ended a connection in good order, or closed an idle one, as it may
	}
	return balance.Failed
}

// judgeCall reads the status of a gRPC call (grpc/doc/statuscodes.md) in a head or trailer. The statuses that say
// something about an endpoint stand for the HTTP status that google/rpc/code.proto has for them. DEADLINE_EXCEEDED is
// not among them: the time limit is the client's.
func judgeCall(in exchange.Head) finding {
	switch in.Get("Grpc-Status") {
	case "14":
		return finding{outcome: balance.Failed, status: http.StatusServiceUnavailable, grpc: "UNAVAILABLE"}
	case "2":
		return doubtfulCall("UNKNOWN")
	case "13":
		return doubtfulCall("INTERNAL")
	case "15":
		return doubtfulCall("DATA_LOSS")
	case "": // a call that ends well says so
		return doubtfulCall("missing")
	}
	return finding{outcome: balance.Ended, status: http.StatusOK}
}

func doubtfulCall(name string) finding {
	return finding{outcome: balance.Doubtful, status: http.StatusInternalServerError, grpc: name}
}
