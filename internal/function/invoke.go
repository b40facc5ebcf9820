package function

import (
	"crypto/rand"
	"encoding/hex"
	"io"
	"net/http"
	"time"
)

// Invoker is a Backend that can be given a payload instead of a request, as with AWS Lambda functions.
type Invoker interface {
	Backend
	// Invoke gives a payload to an instance on behalf of r: with its context, its exchange and its trace. Neither r's
	// head nor its body reaches the function. The error is a *fault.Fault, caused by a *Failure if the function itself
	// reported what went wrong, or the end of r's context. Version and Log of the answer are set in every case.
	Invoke(r *http.Request, i Invocation) (Answer, error)
	// Facts returns what is known about the function without calling it.
	Facts() Facts
}

// Invocation is one call to a function.
type Invocation struct {
	// ID is the invocation's id, unique and made of letters, digits and '-'; "" for a new one.
	ID      string
	Payload []byte // JSON, by Lambda's rules; nothing here parses it
	// ClientContext is a JSON object that the function gets along with the payload, "" for none.
	ClientContext string
	// Qualifier is the version or alias that the caller has named, "" for none. The function sees it in its ARN.
	Qualifier string
	// Log asks for the tail of the function's output during the invocation.
	Log bool
}

// NewID creates the id of an invocation: a random UUID (RFC 9562 section 5.4), as AWS and Azure use.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	id := make([]byte, 0, 36)
	for i, part := range [][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:]} {
		if i > 0 {
			id = append(id, '-')
		}
		id = hex.AppendEncode(id, part)
	}
	return string(id)
}

// Answer is a function's answer to a payload: another payload, whole, or a stream if the function has chosen to stream.
type Answer struct {
	Payload []byte
	// Stream is set instead of Payload; the receiver of the Answer closes it. The errors of its Read are like those of
	// Invoke.
	Stream io.ReadCloser
	// ContentType is the content type of a stream, as the function stated it.
	ContentType string
	// Version is the version of the function that answered.
	Version string
	// Region and Account are the AWS region and account that functions with AWS's contract are told they run in, "" for
	// the defaults that stand for none.
	Log func() []byte
}

// Failure is what a function reported about its own failure, the cause of a fault.
type Failure struct {
	Type    string // "OrderError", "Runtime.ImportModuleError"
	Message string
	// Body is the JSON in which it was reported, with a stack trace if the runtime has one; nil if it was reported
	// otherwise.
	Body []byte
}

func (f *Failure) Error() string {
	switch {
	case f.Type == "":
		return f.Message
	case f.Message == "":
		return f.Type
	default:
		return f.Type + ": " + f.Message
	}
}

// Facts describe a function.
type Facts struct {
	// Contract is how the function is spoken to: "lambda", "http".
	Contract string
	// Payloads reports whether Invoke can be called; otherwise the contract knows only requests.
	Payloads bool
	Handler  string
	Memory   int64         // bytes
	Timeout  time.Duration // of one invocation
	Version  string        // that answers now
}
