package runtimeapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/weir-gateway/weir/internal/wire/http1"
)

// content is the content that follows the head of a call. One goroutine reads it at a time.
type content struct {
	from    *conn
	framing http1.Framing
	left    int64 // bytes, if it has a length
	chunks  http1.Chunks
	asks    bool   // the sender waits for a 100 response before it sends (RFC 9110 section 10.1.1)
	trailer []byte // the section after the chunks, once it was read
	err     error  // io.EOF once all was read
}

// Read implements io.Reader.
func (b *content) Read(p []byte) (int, error) {
	piece, err := b.piece(int64(len(p)))
	return copy(p, piece), err
}

// piece returns the next part of the content, at least one byte and at most most, or why there is none. It is valid
// until the next call.
func (b *content) piece(most int64) ([]byte, error) {
	for b.err == nil {
		if len(b.from.in) == 0 && !b.over() {
			if b.err = b.more(); b.err != nil {
				break
			}
		}
		if piece := b.cut(most); len(piece) > 0 {
			return piece, nil
		}
	}
	return nil, b.err
}

// over reports whether the content is known to have ended without receiving more.
func (b *content) over() bool {
	return b.framing == http1.NoContent || b.framing == http1.ByLength && b.left == 0
}

func (b *content) more() error {
	if b.asks {
		b.asks = false
		if _, err := io.WriteString(b.from.net, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return fmt.Errorf("asking for the content: %w", err)
		}
	}
	return noEOF(b.from.receive())
}

// noEOF makes the end of a connection in the middle of content an error.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// cut takes a part of the content from what was received, and records the end.
func (b *content) cut(most int64) []byte {
	in := b.from.in
	switch b.framing {
	case http1.ByLength:
		n := min(most, b.left, int64(len(in)))
		b.from.in = in[n:]
		if b.left -= n; n == 0 {
			b.err = io.EOF
		}
		return in[:n]
	case http1.ByChunks:
		if b.chunks.Done() {
			b.err = b.readTrailer()
			return nil
		}
		piece, n, reason := b.chunks.Next(in[:min(most, int64(len(in)))])
		b.from.in = in[n:]
		if reason != http1.OK {
			b.err = errMalformed
		}
		return piece
	default:
		b.err = io.EOF
		return nil
	}
}

// maxTrailer leaves room for an error in base64.
const maxTrailer = 2 * maxErrorBytes

// readTrailer reads the lines after the last chunk. It returns io.EOF.
func (b *content) readTrailer() error {
	for {
		in := b.from.in
		end := 0
		if bytes.HasPrefix(in, headEnd[:2]) {
			end = 2
		} else if n := bytes.Index(in, headEnd); n >= 0 {
			end = n + len(headEnd)
		}
		if end > 0 {
			if http1.CheckTrailer(in[:end], limits) != http1.OK {
				return errMalformed
			}
			if b.from.in = in[end:]; end > 2 {
				b.trailer = bytes.Clone(in[:end])
			}
			return io.EOF
		}
		if len(in) > maxTrailer {
			return errMalformed
		}
		if err := noEOF(b.from.receive()); err != nil {
			return err
		}
	}
}

// inTrailer returns the value of a field of the trailer section, "" for none.
func (b *content) inTrailer(name string) string {
	for field, value := range http1.Fields(b.trailer) {
		if strings.EqualFold(string(field), name) {
			return string(value)
		}
	}
	return ""
}

// readAll reads the content, at most one byte more than limit. If the length is known, the buffer does not have to
// grow.
func (b *content) readAll(limit int64) ([]byte, error) {
	size := min(int64(len(b.from.in)), limit)
	if b.framing == http1.ByLength {
		size = min(b.left, limit+1)
	}
	all := make([]byte, 0, size)
	for int64(len(all)) <= limit {
		piece, err := b.piece(limit + 1 - int64(len(all)))
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, piece...)
	}
	return all, nil
}

// readBounded reads the content, which must not be longer than limit.
func (b *content) readBounded(limit int64) ([]byte, error) {
	raw, err := b.readAll(limit)
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("the request has more than %d bytes", limit)
	}
	return raw, err
}

// drain reads unwanted content, and reports whether that was all of the rest.
func (b *content) drain() bool {
	if b.asks && !b.over() {
		return false // it may or may not come
	}
	for left := int64(mostDrained); left > 0; {
		piece, err := b.piece(left)
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		left -= int64(len(piece))
	}
	return false
}
