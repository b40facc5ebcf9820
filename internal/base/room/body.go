package room

import (
	"context"
	"errors"
	"io"
	"time"
)

// Factor is how many times its size a payload takes in memory while it arrives, and while it is converted to another
// form.
const Factor = 2

// firstPiece is how much of a body is read at first.
const firstPiece = 8 << 10

// ErrTooLong means that a body has more bytes than it may have.
var ErrTooLong = errors.New("the body is too long")

// Read reads a body, of length bytes or of unknown length (-1). The part holds Factor times the body's bytes as they
// arrive; whenever there is no more room, Read waits. It closes body when ctx ends, which must end a Read of it; the
// caller closes it in that case too. Errors are ErrTooLong for a body longer than most, those of Grow, and body's own.
func (p *Part) Read(ctx context.Context, body io.ReadCloser, length, most int64, wait time.Duration) ([]byte, error) {
	if length > most {
		return nil, ErrTooLong
	}
	defer context.AfterFunc(ctx, func() { _ = body.Close() })() // it is given up, whatever Close returns
	end := most + 1
	if length >= 0 {
		end = length
	}
	var read []byte
	for size := min(firstPiece, end); ; size = min(2*size, end) {
		if err := p.Grow(ctx, Factor*size, wait); err != nil {
			return nil, err
		}
		grown := make([]byte, len(read), size)
		copy(grown, read)
		n, err := io.ReadFull(body, grown[len(read):size])
		read = grown[:len(read)+n]
		switch {
		case err == nil && int64(len(read)) < end:
		case err == nil && length >= 0, length < 0 && (err == io.EOF || err == io.ErrUnexpectedEOF):
			return read, nil
		case err == nil:
			return nil, ErrTooLong
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err //nolint:wrapcheck // whoever calls says what it is about
		}
	}
}
