package transform

import (
	"errors"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
)

var errValue = errors.New("the value holds a line break or another control character, which no field can have")

var errCookie = errors.New("the value holds a ';' or a control character, which no cookie can have")

// formError is the error of a response that is complete, but does not match what is read.
type formError struct{ error }

func (e *formError) Unwrap() error { return e.error }

// unmade is the problem of a request that cannot be built: the client's fault if its body is read, else the config's.
func (s *request) unmade(what string, err error) error {
	if told, ok := errors.AsType[*fault.Fault](err); ok {
		return told // the client's mistake, such as an ambiguous query
	}
	options := []fault.Option{fault.Internal("transform: %s of the request", what), fault.Cause(err)}
	if s.reads {
		return fault.MalformedBody.New("The body does not hold what this route needs of it.", options...)
	}
	return fault.Unexpected.New("", options...)
}

// unmade is the problem of a response that cannot be built.
func (s *response) unmade(what string, err error) error {
	if told, ok := errors.AsType[*fault.Fault](err); ok {
		return told
	}
	options := []fault.Option{fault.Internal("transform: %s of the response", what), fault.Cause(err)}
	if s.reads {
		return fault.BackendInvalid.New("", options...)
	}
	return fault.Unexpected.New("", options...)
}

// unreadable is the problem of a response that does not match what is read.
func unreadable(err error) error {
	if told, ok := errors.AsType[*fault.Fault](err); ok {
		return told
	}
	if send, ok := errors.AsType[*exchange.SendError](err); ok {
		return send
	}
	kind := fault.BackendReset
	if _, ok := errors.AsType[*formError](err); ok {
		kind = fault.BackendInvalid
	}
	return kind.New("", fault.Internal("transform: the response cannot be read"), fault.Cause(err))
}
