package exchange

import (
	"bytes"
	"errors"
	"io"
	"net/http"
)

// ErrTooLong says that a body has more bytes than it may have.
var ErrTooLong = errors.New("the body is too long")

// believed is how much memory is reserved for a body before any of it has come. A larger length in the head is not
// trusted, because it costs the sender nothing to claim.
const believed = 64 << 10

// ReadBody is ReadWhole of the body of r.
func ReadBody(r *http.Request, most int64) ([]byte, error) {
	return ReadWhole(r.Body, r.ContentLength, most)
}

// ReadWhole reads a body to its end, and does not close it. The result is nil if there is none. length is what its head
// says, negative if it says nothing. A body of more than most bytes is ErrTooLong, at once if its head says so; other
// errors are the body's own. With an error, ReadWhole returns what was read until then.
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
