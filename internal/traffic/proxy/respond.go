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

// The pieces in which a response is passed on are of one of four sizes: while a backend
// says little at a time, as with events, what waits for it is small. All that is left may go in a giant one, where none of it need be waited for.
const (
	smallPiece = 4864 // as a head is read with, and no multiple of a page (see package http1)
	largePiece = 32 << 10
	hugePiece  = 64 << 10
	giantPiece = 120 << 10 // with what goes before it, it is not more than is held for a client
	// long is more than the system takes for a client that reads nothing. What such a client has not taken of a
	// piece is held for it, so that pieces of a longer response are huge only when so much has passed.
	long = 1 << 20
	// much is how much of a small piece lets the next one be a large one: the first is what came with the head.
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
		return // the writer keeps why, and there is nobody to tell
	}
	if err != nil {
		err = t.explain(ctx, err)
		t.Log.DebugContext(ctx, "a response broke off", "route", t.exchange.Route, "request_id", t.exchange.ID, "error", err)
		t.writer.Fail(err) // aborts the stream: the head is out
		return
	}
	t.passTrailers(res)
}

// release gives a response up, read to its end or not, and with it the request where nobody else has that.
func (t *passage) release(res *http.Response) {
	_ = res.Body.Close() // nobody is told any more
	if exchange.Release(res) && (t.body == nil || t.body.isForgotten()) {
		t.released = t.out.End()
	}
}

// part tells an HTTP/1.x client that is answered before its request is whole that the
// connection ends with the answer: whatever it sends on must not be taken for its
// next request.
func (t *passage) part(head exchange.Head) {
	if t.body != nil && !t.body.whole.Load() && t.r.ProtoMajor == 1 {
		head.Set("Connection", "close")
	}
}

// goneError says that the client takes no more.
type goneError struct{ error }

func (e goneError) Unwrap() error { return e.error }

// passAll passes a body on, which has come as a whole where it is held.
func (t *passage) passAll(res *http.Response, body exchange.Lent, held bool) error {
	if !held || res.ContentLength < 0 {
		return t.pass(res, body)
	}
	if _, err := body.WriteTo(t.w); err != nil {
		return goneError{err}
	}
	return nil
}

// pass copies the body. Each piece goes out as soon as it came, but for the last one
// of a known length, which leaves with the end of the response. lent is that body
// where it is one, else nil. An error is the backend's, unless it is a goneError.
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

// goesOnAtOnce tells whether as much may go together with the first piece, as far as it has come: all that is left, to a client for which what it does not take is
// held in a room of that size. Over TLS and HTTP/2 somebody would wait with all of it in his hands.
func (t *passage) goesOnAtOnce(left int64) bool {
	return left > 0 && left <= giantPiece && t.r.ProtoMajor == 1 && t.r.TLS == nil
}

// passAtOnce passes on what has come behind the first piece, in one go with that, which is small.
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

// sizeOfPiece is how much is read at once after a piece of so many bytes, where so many were passed and are known to be left.
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

// passPiece passes a piece of a size on.
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

// passOne passes on what one Read into piece gives. The error of the Read comes after that.
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

// announceTrailers names the trailers to come, where the client takes any: over
// HTTP/1.1 it says so with `TE: trailers`.
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

// passTrailers passes the trailers on after the body, announced or not.
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
