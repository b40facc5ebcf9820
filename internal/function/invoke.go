package function

import (
	"crypto/rand"
	"encoding/hex"
	"io"
	"net/http"
	"time"
)

// Invoker is a Backend that can be given a payload instead of a request, as AWS
// Lambda's functions are.
type Invoker interface {
	Backend
	// Invoke gives a payload to an instance, in the name of r: with its context, its
	// exchange and its trace. Neither r's head nor its body reach the function. The
	// error is a *fault.Fault, caused by a *Failure where the function itself told
	// what went wrong, or the end of r's context. Version and Log of the answer are
	// there in every case.
	Invoke(r *http.Request, i Invocation) (Answer, error)
	// Facts are what is known of the function without asking it.
	Facts() Facts
}

// Invocation is one question to a function.
type Invocation struct {
	// ID is the invocation's, unique and made of letters, digits and '-'; "" for a new one.
	ID      string
	Payload []byte // JSON, by Lambda's rules; nobody here looks into it
	// ClientContext is a JSON object that the function gets beside the payload, "" for none.
	ClientContext string
	// Qualifier is the version or alias that the caller has named, "" for none. The
	// function is told of it in its ARN.
	Qualifier string
	// Log asks for the tail of what the function puts out meanwhile.
	Log bool
}

// NewID makes the id of an invocation: a random UUID (RFC 9562 section 5.4), as AWS's and
// Azure's are.
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

// Answer is what a function answers to a payload: another one, whole, or as a stream
// where the function has chosen to stream.
type Answer struct {
	Payload []byte
	// Stream is instead of Payload; whoever gets the Answer closes it. The errors of its
	// Read are like those of Invoke.
	Stream io.ReadCloser
	// ContentType is that of a stream, as the function said it.
	ContentType string
	// Version is which version of the function has answered.
	Version string
	// Log gives what was put out by now, at most 4 KiB of its end; nil where it was not
	// asked for. It is of use once the answer is complete.
	Log func() []byte
}

// Failure is what a function told of its own failure, the cause of a fault.
type Failure struct {
	Type    string // "OrderError", "Runtime.ImportModuleError"
	Message string
	// Body is the JSON in which it was told, with a trace where the runtime has one; nil
	// where it was told otherwise.
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
	// Contract is how it is spoken to: "lambda", "http".
	Contract string
	// Payloads tells that Invoke can be called; the contract knows only requests otherwise.
	Payloads bool
	Handler  string
	Memory   int64         // bytes
	Timeout  time.Duration // of one invocation
	Version  string        // that answers now
}
