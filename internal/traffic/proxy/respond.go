package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/field"
	"github.com/weir-gateway/weir/internal/base/forward"
)

// A response is passed on in pieces of one of four sizes. While a backend sends little at a
// time, as with events, the buffer that waits for it is small. All that is left may go into
// a giant piece if none of it has to be waited for.
const (
	smallPiece = 4864 // the size with which a head is read, not a multiple of a page (see package http1)
	largePiece = 32 << 10
	hugePiece  = 64 << 10
	giantPiece = 120 << 10 // together with what precedes it, it fits into what is held for a client
	// long is more than the system buffers for a client that reads nothing. The part of a piece
	// that such a client has not read is held for it. So the pieces of a longer response are huge
	// only after this much has passed.
	long = 1 << 20
	// much is how much of a small piece has to be filled for the next piece to be a large one.
	// The first piece is what came with the head.
	much = smallPiece / 2
)

var (
	smallPieces = sync.Pool{New: func() any { return new([smallPiece]byte) }}
	largePieces = sync.Pool{New: func() any { return new([largePiece]byte) }}
	hugePieces  = sync.Pool{New: func() any { return new([hugePiece]byte) }}
	giantPieces = sync.Pool{New: func() any { return new([giantPiece]byte) }}
)

// respond passes the backend's response on to the client, piece by piece.
func (t *passage) respond(ctx context.Context, res *http.Response) {
	defer t.release(res)
	if res.StatusCode < http.StatusOK || res.StatusCode > 999 {
		t.fail(fault.BackendInvalid.New("", fault.Internal("status %d", res.StatusCode)))
		return
	}
	lent, _ := res.Body.(exchange.Lent)
	head := t.writer.Head()
	came := forward.Response(head, exchange.ResponseHead(res))
	if res.ContentLength > 0 && !came.Has(field.ContentLength) && head.Get("Content-Length") == "" {
		head.Set("Content-Length", strconv.FormatInt(res.ContentLength, 10))
	}
	t.announceTrailers(head, res)
	t.part(head)
	held := lent != nil && lent.Whole()
	if !held {
		t.watch.begin()
	}
	t.responding.Store(true)
	t.w.WriteHeader(res.StatusCode)
	err := t.passAll(res, lent, held)
	if _, gone := errors.AsType[goneError](err); gone {
		return // the writer keeps the reason, and there is nobody to tell
	}
	if err != nil {
		err = t.explain(ctx, err)
		t.Log.DebugContext(ctx, "a response broke off", "route", t.exchange.Route, "request_id", t.exchange.RequestID(), "error", err)
		t.writer.Fail(err) // aborts the stream: the head is out
		return
	}
	t.passTrailers(res)
}

// release closes a response, whether it was read to its end or not. If nobody else holds
// the request, it releases that too.
func (t *passage) release(res *http.Response) {
	_ = res.Body.Close() // there is nobody to tell
	if exchange.Release(res) && (t.body == nil || t.body.isForgotten()) {
		t.released = t.out.End()
	}
}

// part tells an HTTP/1.x client that gets its answer before its request is complete that
// the connection ends with the answer. What the client sends afterwards must not be taken
// for its next request.
func (t *passage) part(head exchange.Head) {
	if t.body != nil && !t.body.whole.Load() && t.r.ProtoMajor == 1 {
		head.Set("Connection", "close")
	}
}

// goneError reports that the client accepts no more.
type goneError struct{ error }

func (e goneError) Unwrap() error { return e.error }

// passAll passes a body on. If held, the body has come in full.
func (t *passage) passAll(res *http.Response, body exchange.Lent, held bool) error {
	if !held || res.ContentLength < 0 {
		return t.pass(res, body)
	}
	if _, err := body.WriteTo(t.w); err != nil {
		return goneError{err}
	}
	return nil
}

// pass copies the body. It sends each piece as soon as the piece has come, except the last
// piece of a body of known length, which is sent with the end of the response. lent is the
// body if it is an exchange.Lent, else nil. An error is the backend's, unless it is a
// goneError.
func (t *passage) pass(res *http.Response, lent exchange.Lent) error {
	left, passed := res.ContentLength, int64(0)
	if left < 0 {
		if err := t.control().Flush(); err != nil {
			return goneError{err}
		}
	}
	for n := 0; ; {
		var err error
		n, err = t.passPiece(res.Body, sizeOfPiece(n, passed, left))
		left, passed = left-int64(n), passed+int64(n)
		switch {
		case err == io.EOF: //nolint:errorlint // io.Reader gives it bare
			return nil
		case err != nil:
			return err
		}
		if lent != nil && passed == int64(n) && t.goesOnAtOnce(left) {
			more, err := t.passAtOnce(lent)
			if err != nil {
				return err
			}
			n, left, passed = n+more, left-int64(more), passed+int64(more)
		}
		if n > 0 && left != 0 {
			if err := t.control().Flush(); err != nil {
				return goneError{err}
			}
			t.watch.touch()
		}
	}
}

// goesOnAtOnce reports whether all that is left, as far as it has come, may be sent together
// with the first piece. It may if the client's connection has a buffer of that size for what
// the client does not read. Over TLS and HTTP/2 a goroutine would wait while it holds all of it.
func (t *passage) goesOnAtOnce(left int64) bool {
	return left > 0 && left <= giantPiece && t.r.ProtoMajor == 1 && t.r.TLS == nil
}

// passAtOnce passes on what has come after the first piece, in one write with that piece,
// which is small.
func (t *passage) passAtOnce(body exchange.Lent) (int, error) {
	piece, _ := giantPieces.Get().(*[giantPiece]byte)
	defer giantPieces.Put(piece)
	n := body.ReadAtOnce(piece[:])
	if n == 0 {
		return 0, nil
	}
	t.watch.touch()
	if _, err := t.w.Write(piece[:n]); err != nil {
		return n, goneError{err}
	}
	return n, nil
}

// sizeOfPiece returns how much to read at once after a piece of before bytes, when passed
// bytes were passed on and left bytes are known to be left.
func sizeOfPiece(before int, passed, left int64) int {
	switch {
	case before < much:
		return smallPiece
	case left <= largePiece, passed < long && passed+left > long:
		return largePiece
	default:
		return hugePiece
	}
}

// passPiece passes on a piece of the given size.
func (t *passage) passPiece(from io.Reader, size int) (n int, err error) {
	switch size {
	case hugePiece:
		piece, _ := hugePieces.Get().(*[hugePiece]byte)
		defer hugePieces.Put(piece)
		return t.passOne(from, piece[:])
	case largePiece:
		piece, _ := largePieces.Get().(*[largePiece]byte)
		defer largePieces.Put(piece)
		return t.passOne(from, piece[:])
	default:
		piece, _ := smallPieces.Get().(*[smallPiece]byte)
		defer smallPieces.Put(piece)
		return t.passOne(from, piece[:])
	}
}

// passOne passes on the result of one Read into piece. It returns the error of that Read
// after writing.
func (t *passage) passOne(from io.Reader, piece []byte) (n int, err error) {
	n, err = from.Read(piece)
	t.watch.touch()
	if n > 0 {
		if _, err := t.w.Write(piece[:n]); err != nil {
			return n, goneError{err}
		}
		t.watch.touch()
	}
	return n, err
}

// announceTrailers names the trailers to come, if the client accepts trailers. Over
// HTTP/1.1 a client says so with `TE: trailers`.
func (t *passage) announceTrailers(head exchange.Head, res *http.Response) {
	section := exchange.ResponseTrailer(res)
	if section.Len() == 0 {
		return
	}
	names := allowedTrailers(section)
	if len(names) == 0 || !t.takesTrailers() {
		return
	}
	head.Set("Trailer", strings.Join(names, ", "))
	if t.r.ProtoMajor == 1 {
		head.Del("Content-Length") // only a chunked body has trailers
	}
}

func (t *passage) takesTrailers() bool {
	return t.r.ProtoMajor > 1 || t.r.ProtoAtLeast(1, 1) && forward.AcceptsTrailers(t.in)
}

// passTrailers passes the trailers on after the body, whether announced or not.
func (t *passage) passTrailers(res *http.Response) {
	section := exchange.ResponseTrailer(res)
	if section.Len() == 0 || !t.takesTrailers() {
		return
	}
	for name, value := range section.All() {
		if forward.TrailerAllowed(name) {
			t.writer.AddTrailer(name, value)
		}
	}
}
