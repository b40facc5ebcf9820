package proxy

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/forward"
)

// The pieces in which a response is passed on are of one of two sizes: while a backend
// says little at a time, as with events, what waits for it is small.
const (
	smallPiece = 4 << 10
	largePiece = 32 << 10
)

var (
	smallPieces = sync.Pool{New: func() any { return new([smallPiece]byte) }}
	largePieces = sync.Pool{New: func() any { return new([largePiece]byte) }}
)

// respond passes the backend's response on to the client, piece by piece.
func (t *passage) respond(ctx context.Context, res *http.Response) {
	defer func() { _ = res.Body.Close() }() // it was read to its end, or is given up
	if res.StatusCode < http.StatusOK || res.StatusCode > 999 {
		t.fail(fault.BackendInvalid.New("", fault.Internal("status %d", res.StatusCode)))
		return
	}
	head := t.writer.Head()
	forward.Response(head, exchange.ResponseHead(res))
	if res.ContentLength > 0 && head.Get("Content-Length") == "" {
		head.Set("Content-Length", strconv.FormatInt(res.ContentLength, 10))
	}
	t.announceTrailers(head, res)
	t.part(head)
	t.watch.begin()
	t.responding.Store(true)
	t.w.WriteHeader(res.StatusCode)
	whole, err := t.pass(res)
	if err != nil {
		err = t.explain(ctx, err)
		t.Log.DebugContext(ctx, "a response broke off", "route", t.exchange.Route, "request_id", t.exchange.ID, "error", err)
		t.writer.Fail(err) // aborts the stream: the head is out
		return
	}
	if whole {
		t.passTrailers(res)
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

// pass copies the body. Each piece goes out as soon as it came, but for the last one
// of a known length, which leaves with the end of the response. An error is the
// backend's; where the client has gone, whole is false and there is nobody to tell.
func (t *passage) pass(res *http.Response) (whole bool, err error) {
	left := res.ContentLength
	if left < 0 && t.control.Flush() != nil {
		return false, nil
	}
	for much := false; ; {
		n, err, gone := t.passPiece(res.Body, much)
		left -= int64(n)
		switch {
		case gone:
			return false, nil
		case err == io.EOF:
			return true, nil
		case err != nil:
			return false, err
		case n > 0 && left != 0 && t.control.Flush() != nil:
			return false, nil
		}
		much = n >= smallPiece
	}
}

func (t *passage) passPiece(from io.Reader, large bool) (n int, err error, gone bool) {
	if large {
		piece, _ := largePieces.Get().(*[largePiece]byte)
		defer largePieces.Put(piece)
		return t.passOne(from, piece[:])
	}
	piece, _ := smallPieces.Get().(*[smallPiece]byte)
	defer smallPieces.Put(piece)
	return t.passOne(from, piece[:])
}

// passOne passes on what one Read into piece gives. Its error comes after that; gone
// tells that the client has, and the writer keeps why.
func (t *passage) passOne(from io.Reader, piece []byte) (n int, err error, gone bool) {
	n, err = from.Read(piece)
	t.watch.touch()
	if n > 0 {
		if _, err := t.w.Write(piece[:n]); err != nil {
			return n, nil, true
		}
		t.watch.touch()
	}
	return n, err, false
}

// announceTrailers names the trailers to come, where the client takes any: over
// HTTP/1.1 it says so with `TE: trailers`.
func (t *passage) announceTrailers(head exchange.Head, res *http.Response) {
	names := allowedTrailers(exchange.ResponseTrailer(res))
	if len(names) == 0 || !t.takesTrailers() {
		return
	}
	head.Set("Trailer", strings.Join(names, ", "))
	if t.r.ProtoMajor == 1 {
		head.Del("Content-Length") // only a chunked body has trailers
	}
}

func (t *passage) takesTrailers() bool {
	return t.r.ProtoMajor > 1 || t.r.ProtoAtLeast(1, 1) && forward.AcceptsTrailers(exchange.RequestHead(t.r))
}

// passTrailers passes the trailers on after the body, announced or not.
func (t *passage) passTrailers(res *http.Response) {
	if !t.takesTrailers() {
		return
	}
	for name, value := range exchange.ResponseTrailer(res).All() {
		if forward.TrailerAllowed(name) {
			t.writer.AddTrailer(name, value)
		}
	}
}
