package exchange

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/weir-gateway/weir/internal/base/fault"
)

// ErrCoding says that a body comes in a content coding that is not read.
var ErrCoding = errors.New("the content coding is not read")

// CodingError is a body that is not in the coding that its head says, by its sender's mistake: the
// body itself came whole.
type CodingError struct{ Err error }

func (e *CodingError) Error() string {
	return "it is not the gzip that its head says: " + e.Err.Error()
}

func (e *CodingError) Unwrap() error { return e.Err }

// Codings are those that Decoded reads, as Accept-Encoding has them.
const Codings = "gzip, identity"

// Decoded gives a body as it is without its content coding (RFC 9110 section 8.4), and its length,
// negative where that is not known. One in gzip may have most bytes in that coding, more are
// ErrTooLong; how many it has without it is for its reader to bound. Other codings are ErrCoding.
// What Decoded gives is read by one goroutine, and need not be read to its end. It does not close body.
func Decoded(head Head, body io.Reader, length, most int64) (plain io.Reader, plainLength int64, err error) {
	if body == nil || body == http.NoBody {
		return body, length, nil
	}
	switch coding := codingOf(head); coding {
	case "", "identity":
		return body, length, nil
	case "gzip", "x-gzip":
		if length > most {
			return nil, 0, ErrTooLong
		}
		return &gunzip{coded: coded{body: body, left: most}}, -1, nil
	default:
		return nil, 0, fmt.Errorf("%w: %q", ErrCoding, coding)
	}
}

// ReadDecoded is ReadBody of what the body of r is without its content coding, of at most so many
// bytes in that and without it. What is the client's mistake in it is a fault.
func ReadDecoded(r *http.Request, most int64) ([]byte, error) {
	body, length, err := Decoded(RequestHead(r), r.Body, r.ContentLength, most)
	switch {
	case errors.Is(err, ErrCoding):
		return nil, fault.UnsupportedMedia.New("Send the body in gzip, or without a content coding.", fault.WithField("Accept-Encoding", Codings))
	case err != nil:
		return nil, err
	}
	text, err := ReadWhole(body, length, most)
	if coding, ok := errors.AsType[*CodingError](err); ok {
		return nil, fault.MalformedBody.New("The body cannot be read: " + coding.Error() + ".")
	}
	return text, err
}

// Coded tells whether a body with that head has a content coding.
func Coded(head Head) bool {
	coding := codingOf(head)
	return coding != "" && coding != "identity"
}

func codingOf(head Head) string {
	return strings.ToLower(strings.TrimSpace(strings.Join(head.Values("Content-Encoding"), ",")))
}

// gunzip reads a body in gzip.
type gunzip struct {
	coded coded
	*gzip.Reader

	err error
}

// Read implements io.Reader.
func (g *gunzip) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	if g.Reader == nil {
		reader, _ := gunzips.Get().(*gzip.Reader)
		g.Reader = reader
		if g.err = g.Reset(&g.coded); errors.Is(g.err, io.EOF) && g.coded.read == 0 { // an empty body is that
			return 0, g.end(io.EOF)
		}
	}
	n := 0
	if g.err == nil {
		n, g.err = g.Reader.Read(p)
	}
	if g.err != nil {
		return n, g.end(g.err)
	}
	return n, nil
}

// end says why the body ends, and gives back what has read it.
func (g *gunzip) end(err error) error {
	gunzips.Put(g.Reader)
	g.Reader = nil
	switch {
	case g.coded.err != nil && !errors.Is(g.coded.err, io.EOF):
		g.err = g.coded.err
	case errors.Is(err, io.EOF):
		g.err = io.EOF
	default:
		g.err = &CodingError{err}
	}
	return g.err
}

// gunzips are readers of gzip that nobody has.
var gunzips = sync.Pool{New: func() any { return new(gzip.Reader) }}

// coded is a body in its coding, of which so much is read at most: many empty members make no byte
// of what they hold.
type coded struct {
	body io.Reader
	left int64
	read int64
	err  error // the body's own, or that it is too long
}

// Read implements io.Reader.
func (c *coded) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.body.Read(p[:min(int64(len(p)), c.left+1)])
	c.read += int64(n)
	if c.left -= int64(n); c.left < 0 {
		n, err = 0, ErrTooLong
	}
	c.err = err
	return n, err //nolint:wrapcheck // whoever asks knows what it means
}
