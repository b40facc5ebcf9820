package exchange

import (
	"bytes"
	"errors"
	"io"
	"net/http"
)

// ErrTooLong means that a body has more bytes than it may have.
var ErrTooLong = errors.New("the body is too long")

// believed is the largest buffer that is allocated for a body before any of it has arrived. The announced length is not
// trusted beyond that, because announcing much costs the sender nothing.
const believed = 64 << 10

// ReadBody calls ReadWhole for the body of r.
func ReadBody(r *http.Request, most int64) ([]byte, error) {
	return ReadWhole(r.Body, r.ContentLength, most)
}

// ReadWhole reads a body to its end and does not close it. It returns nil if there is no body. length is the length
// that the head announces, negative if it announces none. For a body longer than most, the error is ErrTooLong,
// immediately if the head announces such a length; other errors are the body's own. What was read before an error is
// returned with it.
func ReadWhole(body io.Reader, length, most int64) ([]byte, error) {
	if body == nil || body == http.NoBody {
		return nil, nil
	}
	if length > most {
		return nil, ErrTooLong
	}
	var b bytes.Buffer
	if length > 0 {
		b.Grow(int(min(length, believed)) + bytes.MinRead)
	}
	_, err := b.ReadFrom(io.LimitReader(body, most+1))
	if err == nil && int64(b.Len()) > most {
		err = ErrTooLong
	}
	return b.Bytes(), err //nolint:wrapcheck // whoever asks knows what it means
}
