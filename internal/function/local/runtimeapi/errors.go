package runtimeapi

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function"
)

// The trailer fields by which a function reports an error after its answer has begun.
const (
	errorTypeField = "Lambda-Runtime-Function-Error-Type"
	errorBodyField = "Lambda-Runtime-Function-Error-Body"
)

// maxErrorBytes bounds how much of a function's error is read.
const maxErrorBytes = 64 << 10

// functionError is what runtimes post; they agree on these two fields.
type functionError struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

// failed returns the error of an invocation that ended in f.
func failed(f *function.Failure) error { return fault.FunctionError.New("", fault.Cause(f)) }

// readError reads the error in the call's body. If the body does not tell its type, the header field does.
func (c *call) readError() *function.Failure {
	raw, _ := c.readAll(maxErrorBytes - 1) // a part of it is better than nothing
	return parseError(c.fields.errorType, raw)
}

func parseError(kind string, raw []byte) *function.Failure {
	var e functionError
	f := &function.Failure{Body: raw}
	if err := json.Unmarshal(raw, &e); err != nil {
		e.Message, f.Body = string(raw), nil
	}
	f.Type, f.Message = cmp.Or(e.Type, kind), e.Message
	return f
}

// trailerError returns the error that follows a body that began well, or nil.
func (b *content) trailerError() error {
	kind := b.inTrailer(errorTypeField)
	if kind == "" {
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(b.inTrailer(errorBodyField))
	if err != nil {
		raw = nil
	}
	return failed(parseError(kind, raw))
}

// failureType returns the type of the error that an answer is, "" for none.
func failureType(err error) string {
	if err == nil {
		return ""
	}
	var said *function.Failure
	if errors.As(err, &said) && said.Type != "" {
		return said.Type
	}
	return "Runtime.Unknown"
}
