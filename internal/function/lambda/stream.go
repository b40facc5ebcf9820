package lambda

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/room"
	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/function/form/apigw"
)

// The types of a streamed answer. Its head tells that of the stream; the function's own
// stands beside.
const (
	streamType    = "application/vnd.amazon.eventstream"
	remappedField = "X-Amzn-Remapped-Content-Type"
)

// stream makes the response of an answer that is streamed. It waits for the first of it, for
// what fails before that has a status of its own.
func (c *call) stream(ctx context.Context, res *http.Response) (*http.Response, *cloud.Failure) {
	c.payload = nil // it is not sent again
	c.held.Shrink(0)
	in := &frames{call: c, body: res.Body, decoder: eventstream.NewDecoder()}
	made, err := c.streamed(ctx, in, contentType(res))
	if err == nil {
		err = c.term.Met()
	}
	if err != nil {
		_ = in.Close() // nobody reads on
		return nil, &cloud.Failure{Err: err, Taken: true}
	}
	return made, nil
}

func (c *call) streamed(ctx context.Context, in *frames, contentType string) (*http.Response, error) {
	if err := in.fill(); err != nil && err != io.EOF { //nolint:errorlint // fill gives it bare
		return nil, err
	}
	switch media, _, _ := strings.Cut(contentType, ";"); {
	case media == apigw.StreamType:
		made, err := apigw.DecodeStream(c.r, in)
		if err != nil && !isFault(err) {
			err = badAnswer(err)
		}
		return made, err
	case c.format != apigw.Raw && (media == jsonType || media == ""):
		return c.buffered(ctx, in)
	default:
		return apigw.DecodeRaw(c.r, in, contentType), nil
	}
}

// contentType is that of the function's answer, "" where nothing tells it.
func contentType(res *http.Response) string {
	head := exchange.ResponseHead(res)
	if own := head.Get(remappedField); own != "" {
		return own
	}
	if own := head.Get("Content-Type"); own != streamType {
		return own
	}
	return ""
}

// buffered is the answer of a function that does not stream, which has its usual form.
func (c *call) buffered(ctx context.Context, in *frames) (*http.Response, error) {
	var payload []byte
	for {
		if len(payload)+len(in.rest) > mostAnswer {
			return nil, badAnswer(fmt.Errorf("it has more than %d bytes and is not streamed", mostAnswer))
		}
		if err := c.grow(ctx, room.Factor*int64(len(payload)+len(in.rest))); err != nil {
			return nil, err
		}
		payload = append(payload, in.rest...)
		in.rest = nil
		switch err := in.fill(); {
		case err == io.EOF: //nolint:errorlint // fill gives it bare
			_ = in.Close() // it was read
			return c.decode(payload)
		case err != nil:
			return nil, err
		}
	}
}

// frames reads the content of an event stream, and ends with the call.
type frames struct {
	call    *call
	body    io.ReadCloser
	decoder *eventstream.Decoder
	buffer  []byte // of a message, used again
	rest    []byte // of the content that came last
	err     error  // that the stream has ended with
	closed  atomic.Bool
}

// Read gives what has come. Its error is a *fault.Fault where the function has failed
// midway, so that the client's stream is not ended well.
func (f *frames) Read(p []byte) (int, error) {
	if err := f.fill(); err != nil {
		return 0, err
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// fill waits for content where there is none. io.EOF is given bare, and comes when the
// platform has told that the function has ended well.
func (f *frames) fill() error {
	for len(f.rest) == 0 && f.err == nil {
		f.err = f.next()
	}
	if len(f.rest) > 0 {
		return nil
	}
	return f.err
}

// next reads one message.
func (f *frames) next() error {
	message, err := f.decoder.Decode(f.body, f.buffer[:0])
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return badAnswer(errors.New("its stream has broken off"))
		}
		return f.broken(err)
	}
	f.buffer = message.Payload
	kind := text(message.Headers, eventstreamapi.MessageTypeHeader)
	if kind != eventstreamapi.EventMessageType {
		return f.call.exception(kind, message)
	}
	switch text(message.Headers, eventstreamapi.EventTypeHeader) {
	case "PayloadChunk":
		f.rest = message.Payload
		return nil
	case "InvokeComplete":
		return f.call.complete(message.Payload)
	default: // AWS may tell more one day
		return nil
	}
}

// broken is the error of a stream that could not be read on: that of its connection as
// it is.
func (f *frames) broken(err error) error {
	if _, ok := errors.AsType[*exchange.SendError](err); ok || isFault(err) {
		return err
	}
	if cause := f.call.r.Context().Err(); cause != nil {
		return cause //nolint:wrapcheck // the client's own end
	}
	return badAnswer(fmt.Errorf("its stream: %w", err))
}

func text(headers eventstream.Headers, name string) string {
	if v := headers.Get(name); v != nil {
		return v.String()
	}
	return ""
}

// complete tells how a stream has ended: io.EOF is well.
func (c *call) complete(payload []byte) error {
	var end struct{ ErrorCode, ErrorDetails, LogResult string }
	if err := json.Unmarshal(payload, &end); err != nil && len(payload) > 0 {
		return badAnswer(fmt.Errorf("the end of its stream: %w", err))
	}
	if log, err := base64.StdEncoding.DecodeString(end.LogResult); err == nil && len(log) > 0 {
		c.log = string(log)
		c.cold.Store(coldStart(c.log) > 0)
	}
	if end.ErrorCode == "" {
		return io.EOF
	}
	return c.functionFailed(details(end.ErrorCode, end.ErrorDetails))
}

// details is a failure in the form that the API gives it outside of streams.
func details(code, detail string) []byte {
	if json.Valid([]byte(detail)) && strings.HasPrefix(strings.TrimSpace(detail), "{") {
		return []byte(detail)
	}
	told, _ := json.Marshal(map[string]string{"errorType": code, "errorMessage": detail}) // texts always encode
	return told
}

// exception is an error of the platform within a stream.
func (c *call) exception(kind string, message eventstream.Message) error {
	name := text(message.Headers, eventstreamapi.ExceptionTypeHeader)
	if kind == eventstreamapi.ErrorMessageType {
		name = text(message.Headers, eventstreamapi.ErrorCodeHeader)
	}
	said := string(message.Payload[:min(len(message.Payload), mostMessage)])
	return judge(name, http.StatusInternalServerError).kind.New("", fault.Internal("AWS Lambda ends a stream with %s: %s", name, said))
}

// Close ends the call. Whether the instance was new is told at the end of a stream only; of one
// that nobody has read so far it is not known.
func (f *frames) Close() error {
	if !f.closed.Swap(true) {
		f.call.life.Lent(f.call.cold.Load())
	}
	f.call.term.End()
	return f.body.Close() //nolint:wrapcheck // it is only passed on
}
