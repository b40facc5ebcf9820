package apigw

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// StreamType is the content type of a streamed answer that begins with a prelude: the head as JSON, then eight NUL
// bytes, then the body.
const StreamType = "application/vnd.awslambda.http-integration-response"

// maxPrelude is the size limit of the prelude, including its end mark.
const maxPrelude = 16 << 10

// preludeEnd separates the head from the body.
var preludeEnd = make([]byte, 8) //nolint:gochecknoglobals // a constant of the format

var errNoPrelude = errors.New("the streamed answer does not begin with a head and eight NUL bytes within its first 16 KiB")

// DecodeStream returns the response to r for a streamed answer whose content type is StreamType. It reads only the
// prelude; the response's body reads the rest from stream as it arrives, and closes stream. On an error the caller
// closes stream.
func DecodeStream(r *http.Request, stream io.ReadCloser) (*http.Response, error) {
	in := bufio.NewReaderSize(stream, maxPrelude)
	prelude, err := readPrelude(in)
	if err != nil {
		return nil, err
	}
	a, err := parse(prelude, true)
	if err != nil {
		return nil, fmt.Errorf("the prelude of the streamed answer: %w", err)
	}
	if a.status == nil {
		a.status = json.RawMessage("200")
	}
	res, err := a.head(r)
	if err != nil {
		return nil, err
	}
	res.ContentLength = -1
	res.Body = &rest{in, stream}
	return res, nil
}

// readPrelude reads up to the eight NULs, but no further than what has arrived.
func readPrelude(in *bufio.Reader) ([]byte, error) {
	for have := 1; ; {
		_, err := in.Peek(have) // waits for one byte more than was examined
		have = in.Buffered()
		seen, _ := in.Peek(have) // it is buffered
		if at := bytes.Index(seen, preludeEnd); at >= 0 {
			prelude := bytes.Clone(seen[:at])
			_, err := in.Discard(at + len(preludeEnd))
			return prelude, err //nolint:wrapcheck // cannot fail: the bytes are there
		}
		switch {
		case errors.Is(err, io.EOF) || have >= maxPrelude:
			return nil, errNoPrelude
		case err != nil:
			return nil, fmt.Errorf("the prelude of the streamed answer: %w", err)
		}
		have++
	}
}

// rest is a stream after its prelude.
type rest struct {
	*bufio.Reader
	io.Closer
}

// DecodeRaw returns the response to r for a streamed answer without a prelude.
func DecodeRaw(r *http.Request, stream io.ReadCloser, contentType string) *http.Response {
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	res := exchange.NewResponse(r, http.StatusOK, exchange.Field{Name: "Content-Type", Value: contentType})
	res.ContentLength = -1
	res.Body = stream
	return res
}
