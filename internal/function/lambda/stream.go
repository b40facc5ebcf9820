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

// The content types of a streamed answer. The Content-Type header names the type of the event stream; a separate field
// carries the function's own type.
const (
	streamType    = "application/vnd.amazon.eventstream"
	remappedField = "X-Amzn-Remapped-Content-Type"
)

// stream turns a streamed answer into a response. It waits for the first content, because a failure before that has a
// status of its own.
func (c *call) stream(ctx context.Context, res *http.Response) (*http.Response, *cloud.Failure) {
	c.payload = nil // it is not sent again
	c.held.Shrink(0)
	in := &frames{call: c, body: res.Body, decoder: eventstream.NewDecoder()}
	made, err := c.streamed(ctx, in, contentType(res))
	if err == nil {
		err = c.term.Met()
	}
	if err != nil {
		_ = in.Close() // the stream is not read further
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

// contentType returns the content type of the function's answer, "" if nothing states it.
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

// buffered handles the answer of a function that does not stream. Such an answer has the usual form.
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

// frames reads the content of an event stream. Closing it ends the call.
type frames struct {
	call    *call
	body    io.ReadCloser
	decoder *eventstream.Decoder
	buffer  []byte // of a message, reused
	rest    []byte // the unread part of the latest content
	err     error  // that ended the stream
	closed  atomic.Bool
}

// Read returns what has arrived. Its error is a *fault.Fault if the function has failed midway, so that the client's
// stream is not ended as if it were complete.
func (f *frames) Read(p []byte) (int, error) {
	if err := f.fill(); err != nil {
		return 0, err
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// fill waits for content if there is none. io.EOF is returned bare, once the platform has reported that the function
// has ended well.
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
	default: // AWS may add others
		return nil
	}
}

// broken returns the error of a stream that could not be read further. An error of the connection is returned as it is.
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

// complete reports how a stream has ended: io.EOF means that it ended well.
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

// details puts a failure into the form that the API uses for it outside of streams.
func details(code, detail string) []byte {
	if json.Valid([]byte(detail)) && strings.HasPrefix(strings.TrimSpace(detail), "{") {
		return []byte(detail)
	}
	told, _ := json.Marshal(map[string]string{"errorType": code, "errorMessage": detail}) // strings always encode
	return told
}

// exception turns an error of the platform within a stream into an error.
func (c *call) exception(kind string, message eventstream.Message) error {
	name := text(message.Headers, eventstreamapi.ExceptionTypeHeader)
	if kind == eventstreamapi.ErrorMessageType {
		name = text(message.Headers, eventstreamapi.ErrorCodeHeader)
	}
	said := string(message.Payload[:min(len(message.Payload), mostMessage)])
	return judge(name, http.StatusInternalServerError).kind.New("", fault.Internal("AWS Lambda ends a stream with %s: %s", name, said))
}

// Close ends the call. Only the end of a stream says whether the instance was new; if the stream was not read that far,
// that is not known.
func (f *frames) Close() error {
	if !f.closed.Swap(true) {
		f.call.life.Lent(f.call.cold.Load())
	}
	f.call.term.End()
	return f.body.Close() //nolint:wrapcheck // it is only passed on
}
