package lambdaapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/sigv4"
	"github.com/weir-gateway/weir/internal/function"
)

// kind is one of the errors of AWS's API.
type kind struct {
	Type    string // x-amzn-ErrorType
	Status  int
	Message string // the name of the message member in AWS's model: "Message" or "message"
	Who     string // whose mistake it is; "" if AWS does not say
}

// The errors that this API answers with.
var (
	notFound         = kind{"ResourceNotFoundException", http.StatusNotFound, "Message", user}
	invalidParameter = kind{"InvalidParameterValueException", http.StatusBadRequest, "message", user}
	invalidContent   = kind{"InvalidRequestContentException", http.StatusBadRequest, "message", user}
	validation       = kind{"ValidationException", http.StatusBadRequest, "message", ""}
	requestTooLarge  = kind{"RequestTooLargeException", http.StatusRequestEntityTooLarge, "message", user}
	tooManyRequests  = kind{"TooManyRequestsException", http.StatusTooManyRequests, "message", user}
	accessDenied     = kind{"AccessDeniedException", http.StatusForbidden, "Message", ""}
	unknownOperation = kind{"UnknownOperationException", http.StatusNotFound, "message", ""}
	goneConnection   = kind{"GoneException", http.StatusGone, "message", ""}
	payloadTooLarge  = kind{"PayloadTooLargeException", http.StatusRequestEntityTooLarge, "message", ""}
	limitExceeded    = kind{"LimitExceededException", http.StatusTooManyRequests, "message", ""}
	serviceError     = kind{"ServiceException", http.StatusInternalServerError, "Message", service}
	unavailable      = kind{"ServiceUnavailableException", http.StatusServiceUnavailable, "Message", service}
)

const user, service = "User", "Service"

// apiError is one occurrence of an error.
type apiError struct {
	kind

	text   string
	reason string // of a throttle
	after  time.Duration
	cause  *fault.Fault // nil if there is none
}

func (k kind) about(format string, args ...any) *apiError {
	return &apiError{kind: k, text: fmt.Sprintf(format, args...)}
}

func (e *apiError) Error() string { return e.Type + ": " + e.text }

// fail answers a call with err.
func (a *API) fail(c *call, err error) {
	if f, ok := errors.AsType[*fault.Fault](err); ok && f.Code == fault.MalformedRequest.Code { // which ends the connection too
		exchange.Fail(c.w, f)
		return
	}
	if c.r.Context().Err() != nil || fault.From(err).Code == fault.ClientGone.Code {
		exchange.Fail(c.w, fault.ClientGone.New("", fault.Cause(err)))
		return
	}
	e := a.errorOf(c, err)
	if e.cause == nil { // for the log
		e.cause = fault.Kind{Code: codeOf(e.Status), Status: e.Status, Title: http.StatusText(e.Status)}.New("", fault.Cause(err))
	}
	c.x.Fault = e.cause
	body := map[string]string{e.Message: e.text}
	if e.Who != "" {
		body["Type"] = e.Who
	}
	if e.reason != "" {
		body["Reason"] = e.reason
	}
	text, _ := json.Marshal(body) // texts always encode
	if e.after > 0 {
		c.set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(e.after.Seconds())))))
	}
	c.set("X-Amzn-ErrorType", e.Type)
	c.answer(e.Status, "application/json", text)
}

// codeOf returns the code of the problem that represents a status in logs.
func codeOf(status int) string {
	for _, k := range []fault.Kind{fault.BadParameter, fault.Forbidden, fault.RouteNotFound, fault.BodyTooLarge, fault.RateLimited} {
		if k.Status == status {
			return k.Code
		}
	}
	return fault.Unexpected.Code
}

// errorOf turns any error into an error of this API.
func (a *API) errorOf(c *call, err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*sigv4.Error](err); ok {
		a.options.Log.Debug("a signature is refused", "request_id", c.x.RequestID(), "error", e)
		return kind{e.Code, http.StatusForbidden, "message", ""}.about("%s", e.Message)
	}
	f := fault.From(err)
	var e *apiError
	switch f.Code {
	case fault.FunctionBusy.Code, fault.FunctionQueueTime.Code:
		e = tooManyRequests.about("Rate Exceeded.")
		e.reason = "ConcurrentInvocationLimitExceeded"
	case fault.FunctionTooLarge.Code:
		e = requestTooLarge.about("%s", f.Detail)
	case fault.ShuttingDown.Code:
		e = unavailable.about("The service is shutting down.")
	case fault.QueueUnavailable.Code:
		e = unavailable.about("%s", cmp.Or(f.Detail, f.Title))
	default:
		e = serviceError.about("%s", cmp.Or(f.Detail, f.Title))
	}
	if c.x.Verbose && f.Operator() != "" {
		e.text += " " + f.Operator()
	}
	e.after, e.cause = f.RetryAfter, f
	return e
}

// failure returns the failure of the function itself, in AWS's form, if err is one. Such a failure is an answer, not an
// error of this API. Otherwise it returns nil.
func failure(c *call, err error, timeout time.Duration) *function.Failure {
	var f *fault.Fault
	if !errors.As(err, &f) {
		return nil
	}
	told, _ := errors.AsType[*function.Failure](err)
	var own function.Failure
	switch f.Code {
	case fault.FunctionError.Code, fault.FunctionBadResponse.Code:
		own = function.Failure{Type: "Runtime.Unknown", Message: f.Title}
	case fault.FunctionInit.Code:
		own = function.Failure{Type: "Runtime.ExitError", Message: "RequestId: " + c.x.RequestID() + " Error: " + f.Title}
	case fault.FunctionCrashed.Code:
		own = function.Failure{Type: "Runtime.ExitError", Message: "RequestId: " + c.x.RequestID() + " Error: Runtime exited without providing a reason"}
	case fault.FunctionTimeout.Code:
		own = function.Failure{
			Type: "Sandbox.Timedout", Message: fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", c.x.RequestID(), timeout.Seconds()),
		}
	default:
		return nil
	}
	c.x.Fault = f
	if told != nil {
		own = *told
		if strings.HasPrefix(told.Type, "Extension.") { // AWS's form for a failure that no runtime has reported
			own.Message = "RequestId: " + c.x.RequestID() + " Error: " + told.Message
		}
	} else if c.x.Verbose {
		own.Message += ": " + f.Operator()
	}
	if own.Body == nil {
		own.Body, _ = json.Marshal(map[string]string{"errorType": own.Type, "errorMessage": own.Message}) // texts always encode
	}
	return &own
}

// answerTooLarge is the error for a stream that does not fit into a whole answer.
func answerTooLarge() error {
	return fault.FunctionBadResponse.New("", fault.Cause(&function.Failure{
		Type: "Function.ResponseSizeTooLarge", Message: fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", maxAnswer),
	}))
}
