package lambda

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/cloud/aws"
	"github.com/weir-gateway/weir/internal/function"
)

// verdict is what an error of the API means.
type verdict struct {
	kind  fault.Kind
	taken bool
	retry bool
	ill   bool
	renew bool
}

// verdicts are the errors of the API's Invoke and InvokeWithResponseStream, and the errors that all AWS APIs have (API
// reference of AWS Lambda). An error that is not listed here is judged by its status. docs/lambda.md has them as a
// table.
func verdicts() map[string]verdict {
	later := verdict{kind: fault.FunctionUnavailable, retry: true}
	ill := verdict{kind: fault.FunctionUnavailable, taken: true, retry: true, ill: true}
	never := verdict{kind: fault.FunctionRefused}
	large := verdict{kind: fault.FunctionTooLarge}
	table := map[string]verdict{
		"TooManyRequestsException": {kind: fault.FunctionThrottled, retry: true},
		"ThrottlingException":      {kind: fault.FunctionThrottled, retry: true},
	}
	for v, names := range map[verdict]string{
		later: "ResourceNotReadyException ResourceConflictException EC2ThrottledException EC2UnexpectedException ENILimitReachedException " +
			"SubnetIPAddressLimitReachedException EFSIOException EFSMountConnectivityException EFSMountTimeoutException EFSMountFailureException " +
			"SnapStartException SnapStartNotReadyException SnapStartTimeoutException",
		ill: "ServiceException ServiceUnavailableException",
		never: "AccessDeniedException ResourceNotFoundException InvalidParameterValueException InvalidRequestContentException UnsupportedMediaTypeException " +
			"ValidationException KMSAccessDeniedException KMSDisabledException KMSInvalidStateException KMSNotFoundException InvalidRuntimeException " +
			"InvalidZipFileException InvalidSecurityGroupIDException InvalidSubnetIDException EC2AccessDeniedException RecursiveInvocationException " +
			"NoPublishedVersionException DurableExecutionAlreadyStartedException UnknownOperationException IncompleteSignatureException MissingAuthenticationTokenException",
		large: "RequestTooLargeException SerializedRequestEntityTooLargeException",
	} {
		for name := range strings.FieldsSeq(names) {
			table[name] = v
		}
	}
	return table
}

var known = verdicts()

// judge returns the verdict on an error of the API.
func judge(name string, status int) verdict {
	if v, ok := known[name]; ok {
		return v
	}
	if aws.RefusesCredentials(name) {
		return verdict{kind: fault.FunctionRefused, renew: true}
	}
	switch {
	case status == http.StatusTooManyRequests:
		return verdict{kind: fault.FunctionThrottled, retry: true}
	case status == http.StatusRequestEntityTooLarge:
		return verdict{kind: fault.FunctionTooLarge}
	case status >= http.StatusInternalServerError:
		return verdict{kind: fault.FunctionUnavailable, taken: true, retry: true, ill: true}
	case status < http.StatusMultipleChoices:
		return verdict{kind: fault.FunctionBadResponse, taken: true}
	}
	return verdict{kind: fault.FunctionRefused}
}

// mostError is how much of an error's body is read.
const mostError = 64 << 10

// refused returns why the API has not accepted the event, nil if it has.
func (c *call) refused(res *http.Response, s *site) *cloud.Failure {
	if res.StatusCode == c.mode.accepted() {
		return nil
	}
	head := exchange.ResponseHead(res)
	var told struct{ Message, Reason string } // in either spelling: encoding/json ignores case
	body, _ := io.ReadAll(io.LimitReader(res.Body, mostError))
	_ = res.Body.Close()            // the rest does not matter
	_ = json.Unmarshal(body, &told) // a body that is not JSON says nothing
	name, _, _ := strings.Cut(head.Get("X-Amzn-Errortype"), ":")
	v := judge(name, res.StatusCode)
	f := &cloud.Failure{Taken: v.taken, Again: v.retry, Ill: v.ill, Renew: v.renew}
	f.After = cloud.Seconds(head.Get("Retry-After"))
	internal := fault.Internal("AWS Lambda in %s answers %d %s: %s%s", s.region, res.StatusCode, name, told.Message, because(told.Reason))
	switch {
	case v.kind == fault.FunctionThrottled:
		c.throttled(s, told.Reason)
		f.Err = v.kind.New("", internal, fault.RetryAfter(max(f.After, time.Second)))
	case v.kind == fault.FunctionUnavailable:
		f.Err = v.kind.New("", internal, fault.RetryAfter(max(f.After, time.Second)))
	case name == "InvalidRequestContentException" && c.format == "raw":
		f.Err = fault.MalformedBody.New("This function takes JSON.", internal)
	case v.kind == fault.FunctionTooLarge:
		large, _ := errors.AsType[*fault.Fault](c.tooLarge())
		f.Err = v.kind.New(large.Detail, internal)
	default:
		f.Err = v.kind.New("", internal)
	}
	return f
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// throttled notes whose limit was reached (TooManyRequestsException, Reason).
func (c *call) throttled(s *site, reason string) {
	switch reason {
	case "ConcurrentInvocationLimitExceeded":
		s.calls.Throttled()
	case "ReservedFunctionConcurrentInvocationLimitExceeded":
		c.own.Throttled()
	}
}

// accepted is the status that says that an event was accepted.
func (m Mode) accepted() int {
	switch m {
	case Async:
		return http.StatusAccepted
	case DryRun:
		return http.StatusNoContent
	default:
		return http.StatusOK
	}
}

// functionFailed returns the error for a failure of the function itself (X-Amz-Function-Error).
func (c *call) functionFailed(body []byte) error {
	told := &function.Failure{Body: body}
	var own struct{ ErrorType, ErrorMessage string } // in any spelling
	if json.Unmarshal(body, &own) == nil {
		told.Type, told.Message = own.ErrorType, own.ErrorMessage
	} else {
		told.Message = string(body[:min(len(body), mostMessage)])
	}
	f := kindOf(told).New("", fault.Cause(told))
	c.note(f, told)
	return f
}

// mostMessage is how much is reported of an error that is not JSON.
const mostMessage = 1 << 10

// kindOf returns the kind of failure that the platform reports for a function.
func kindOf(told *function.Failure) fault.Kind {
	switch {
	case told.Type == "Sandbox.Timedout" || strings.Contains(told.Message, "Task timed out after "):
		return fault.FunctionTimeout
	case told.Type == "Function.ResponseSizeTooLarge":
		return fault.FunctionBadResponse
	case told.Type == "Runtime.ExitError" || told.Type == "Runtime.OutOfMemory" || strings.HasSuffix(told.Type, "Runtime.ExitError"):
		return fault.FunctionCrashed
	default:
		return fault.FunctionError
	}
}

// note records a failure, with the tail of the function's log, where operators look.
func (c *call) note(f *fault.Fault, told *function.Failure) {
	lines := strings.Split(strings.TrimRight(c.log, "\n"), "\n")
	if c.log == "" {
		lines = nil
	}
	c.failed.Store(&lastFailure{at: time.Now(), what: fmt.Sprintf("%s: %s", f.Code, told), tail: lines})
	c.backend.log.LogAttrs(c.r.Context(), slog.LevelWarn, "a function of AWS Lambda has failed",
		slog.String("request_id", exchange.Of(c.r).RequestID()), slog.String("problem", f.Code),
		slog.String("type", told.Type), slog.String("error", told.Message), slog.String("tail", c.log))
}
