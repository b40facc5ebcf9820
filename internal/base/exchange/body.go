package exchange

import (
	"bytes"
	"errors"
	"io"
	"net/http"
)

// ErrTooLong says that a body has more bytes than it may have.
var ErrTooLong = errors.New("the body is too long")

// believed is how much room a body is given before any of it has come: more is not
// taken at its head's word, which costs its sender nothing.
const believed = 64 << 10

// ReadBody is ReadWhole of the body of r.
func ReadBody(r *http.Request, most int64) ([]byte, error) {
	return ReadWhole(r.Body, r.ContentLength, most)
}

// ReadWhole reads a body to its end, nil where there is none, and does not close it; length is
// what its head says, negative where that is nothing. One of more than most bytes is ErrTooLong, at
// once where its head says so; other errors are the body's own. What was read until then comes with an error.
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
