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

// ErrCoding means that a body has a content coding that is not supported.
var ErrCoding = errors.New("the content coding is not read")

// CodingError means that a body is not in the coding that its head names. That is the sender's mistake: the body itself
// arrived complete.
type CodingError struct{ Err error }

func (e *CodingError) Error() string {
	return "it is not the gzip that its head says: " + e.Err.Error()
}

func (e *CodingError) Unwrap() error { return e.Err }

// Codings are the codings that Decoded reads, as written in Accept-Encoding.
const Codings = "gzip, identity"

// Decoded returns a body without its content coding (RFC 9110 section 8.4), and its length, negative if unknown. A gzip
// body may not be longer than most while encoded; a longer one is ErrTooLong. Bounding its decoded size is up to the
// reader. Other codings are ErrCoding. The result is for one goroutine and need not be read to its end. Decoded does
// not close body.
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

// ReadDecoded is ReadBody for the body of r without its content coding. The limit most applies both to the encoded and
// to the decoded body. A coding that is not supported, or a body that is not in its coding, is returned as a fault.
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

// Coded reports whether a body with this head has a content coding.
func Coded(head Head) bool {
	coding := codingOf(head)
	return coding != "" && coding != "identity"
}

func codingOf(head Head) string {
	return strings.ToLower(strings.TrimSpace(strings.Join(head.Values("Content-Encoding"), ",")))
}

// gunzip reads a gzip body.
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
		if g.err = g.Reset(&g.coded); errors.Is(g.err, io.EOF) && g.coded.read == 0 { // an empty body is allowed
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

// end determines why the body ends, and returns the gzip reader to the pool.
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

// gunzips are idle gzip readers.
var gunzips = sync.Pool{New: func() any { return new(gzip.Reader) }}

// coded limits how many bytes of an encoded body are read. A limit on the decoded size is not enough, because many
// empty gzip members decode to no bytes at all.
type coded struct {
	body io.Reader
	left int64
	read int64
	err  error // the body's own, or ErrTooLong
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
