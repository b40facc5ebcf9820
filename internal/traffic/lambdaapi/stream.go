package lambdaapi

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"net/http"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function"
)

const (
	streamType = "application/vnd.amazon.eventstream"
	// remappedField holds the content type of the function's answer, because that of the response is the stream's.
	remappedField = "X-Amzn-Remapped-Content-Type"
	// piece is the largest part of an answer in one message.
	piece = 32 << 10
)

// invokeStreaming implements InvokeWithResponseStream.
func (a *API) invokeStreaming(c *call) error {
	_, invoker, err := a.invoker(c)
	if err != nil {
		return err
	}
	how, err := c.invocationType(requestResponse, dryRun)
	if err != nil {
		return err
	}
	i, err := c.invocation()
	if err != nil {
		return err
	}
	if how == dryRun {
		c.set(versionField, invoker.Facts().Version)
		c.answer(http.StatusNoContent, "", nil)
		return nil
	}
	answer, err := invoker.Invoke(c.inName(), i)
	timeout := invoker.Facts().Timeout
	failed := failure(c, err, timeout)
	if err != nil && failed == nil {
		return err
	}
	c.set(versionField, answer.Version)
	c.set("Content-Type", streamType)
	if answer.ContentType != "" {
		c.set(remappedField, answer.ContentType)
	}
	c.w.WriteHeader(http.StatusOK)
	out := newEventStream(c.w)
	if failed == nil {
		err = out.copy(answer)
		failed = failure(c, err, timeout)
	}
	switch {
	case c.r.Context().Err() != nil:
		exchange.Fail(c.w, fault.ClientGone.New("", fault.Cause(c.r.Context().Err())))
	case err != nil && failed == nil:
		failed = &function.Failure{Type: serviceError.Type, Body: []byte(fault.From(err).Title)}
		c.x.Fault = fault.From(err)
	}
	if err := out.complete(answer, failed); err != nil {
		exchange.Fail(c.w, fault.ClientGone.New("", fault.Cause(err)))
	}
	return nil
}

// eventStream writes messages of AWS's event stream encoding:
//
//	u32 length, u32 length of the headers, u32 CRC-32 of both, headers, payload, u32 CRC-32 of everything before
//
// A header is u8 length, name, u8 7 (a string), u16 length, value. All numbers are big-endian. Each message is sent at
// once.
type eventStream struct {
	w       *exchange.Writer
	control *http.ResponseController
	chunk   []byte // of one message, reused
	start   int    // of the payload in a PayloadChunk
}

func newEventStream(w *exchange.Writer) *eventStream {
	head := appendHead(nil, "PayloadChunk", "application/octet-stream")
	chunk := make([]byte, len(head)+piece+crcBytes)
	copy(chunk, head)
	return &eventStream{w: w, control: http.NewResponseController(w), chunk: chunk, start: len(head)}
}

const (
	preludeBytes = 12
	crcBytes     = 4
	textHeader   = 7
)

// appendHead appends a message's beginning, with the lengths and their checksum left empty.
func appendHead(b []byte, event, contentType string) []byte {
	b = append(b, make([]byte, preludeBytes)...)
	for _, h := range [][2]string{{":event-type", event}, {":content-type", contentType}, {":message-type", "event"}} {
		b = append(append(b, byte(len(h[0]))), h[0]...)
		b = binary.BigEndian.AppendUint16(append(b, textHeader), uint16(len(h[1])))
		b = append(b, h[1]...)
	}
	return b
}

// seal completes a message whose payload begins at start; b has room for the last checksum after the payload.
func seal(b []byte, start int) {
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	binary.BigEndian.PutUint32(b[4:], uint32(start-preludeBytes))
	binary.BigEndian.PutUint32(b[8:], crc32.ChecksumIEEE(b[:8]))     // of the two lengths
	end := len(b) - crcBytes                                         // the last checksum covers everything before it
	binary.BigEndian.PutUint32(b[end:], crc32.ChecksumIEEE(b[:end])) // the last checksum
}

// send sends a message that is complete except for its lengths and checksums.
func (s *eventStream) send(b []byte, start int) error {
	seal(b, start)
	if _, err := s.w.Write(b); err != nil {
		return &writeError{err}
	}
	if err := s.control.Flush(); err != nil {
		return &writeError{err}
	}
	return nil
}

// writeError says that an error comes from the client, which did not take an answer.
type writeError struct{ error }

func (e *writeError) Unwrap() error { return e.error }

// copy sends an answer; parts of a stream are sent as they come. It closes the stream.
func (s *eventStream) copy(answer function.Answer) error {
	if answer.Stream == nil {
		return s.whole(answer.Payload)
	}
	defer func() { _ = answer.Stream.Close() }() // it only says that no one reads on
	for {
		n, err := answer.Stream.Read(s.chunk[s.start : s.start+piece])
		if n > 0 {
			if err := s.send(s.chunk[:s.start+n+crcBytes], s.start); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err //nolint:wrapcheck // the function's own
		}
	}
}

func (s *eventStream) whole(payload []byte) error {
	for len(payload) > 0 {
		n := copy(s.chunk[s.start:s.start+piece], payload)
		payload = payload[n:]
		if err := s.send(s.chunk[:s.start+n+crcBytes], s.start); err != nil {
			return err
		}
	}
	return nil
}

// complete sends the last message, which holds the failure if there is one.
func (s *eventStream) complete(answer function.Answer, failed *function.Failure) error {
	var end struct {
		Code    string `json:"ErrorCode,omitempty"`
		Details string `json:"ErrorDetails,omitempty"`
		Log     string `json:"LogResult,omitempty"`
	}
	if failed != nil {
		end.Code, end.Details = failed.Type, string(failed.Body)
	}
	if answer.Log != nil {
		end.Log = base64.StdEncoding.EncodeToString(answer.Log())
	}
	payload, err := json.Marshal(end)
	if err != nil {
		return err //nolint:wrapcheck // texts always encode
	}
	b := appendHead(nil, "InvokeComplete", jsonType)
	start := len(b)
	return s.send(append(append(b, payload...), make([]byte, crcBytes)...), start)
}
