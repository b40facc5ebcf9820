package runtimeapi

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"

	"github.com/weir-gateway/weir/internal/base/fault"
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

func (e functionError) String() string {
	switch {
	case e.Type == "":
		return e.Message
	case e.Message == "":
		return e.Type
	default:
		return e.Type + ": " + e.Message
	}
}

func (e functionError) fault() error {
	return fault.FunctionError.New("", fault.Internal("%s", e))
}

// readError reads the error that r posts. The field tells its type where the body does not.
func readError(r *http.Request) functionError {
	raw, _ := io.ReadAll(io.LimitReader(r.Body, maxErrorBytes)) // a part of it is better than nothing
	return parseError(r.Header.Get(errorTypeField), raw)
}

func parseError(kind string, raw []byte) functionError {
	var e functionError
	if err := json.Unmarshal(raw, &e); err != nil {
		e.Message = string(raw)
	}
	if e.Type == "" {
		e.Type = kind
	}
	return e
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
	return parseError(kind, raw).fault()
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
