package runtimeapi

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function"
)

// The fields and trailers by which a function tells an error.
const (
	errorTypeField = "Lambda-Runtime-Function-Error-Type"
	errorBodyField = "Lambda-Runtime-Function-Error-Body"
)

// maxErrorBytes bounds what is read of a function's error.
const maxErrorBytes = 64 << 10

// functionError is what runtimes post; they agree on these two fields.
type functionError struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

// failed is the error of an invocation that ended in f.
func failed(f *function.Failure) error { return fault.FunctionError.New("", fault.Cause(f)) }

// readError reads the error that r posts. The field tells its type where the body does not.
func readError(r *http.Request) *function.Failure {
	raw, _ := io.ReadAll(io.LimitReader(r.Body, maxErrorBytes)) // a part of it is better than nothing
	return parseError(r.Header.Get(errorTypeField), raw)
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

// trailerError gives the error that follows a body which began well, or nil.
func trailerError(r *http.Request) error {
	kind := r.Trailer.Get(errorTypeField)
	if kind == "" {
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(r.Trailer.Get(errorBodyField))
	if err != nil {
		raw = nil
	}
	return failed(parseError(kind, raw))
}

// failureType is the type of the error that an answer is, "" for none.
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

// The answers of the Runtime API to what it does not accept.
func refuse(w http.ResponseWriter, status int, kind, message string) {
	body, _ := json.Marshal(functionError{kind, message}) // two texts always encode
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the instance may be gone
}

func accept(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted) // exactly this: runtimes take every other status for fatal
	_, _ = io.WriteString(w, `{"status":"OK"}`)
}
