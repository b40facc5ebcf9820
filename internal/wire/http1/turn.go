package http1

import (
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/poison"
)

// turn is what a connection needs while something comes and goes on it: what requests
// and responses are made of. It is lent to one connection at a time, and its parts are
// used again with each request where the handler reads heads as lines.
type turn struct {
	in       inlet
	out      []byte // room of responses, empty between them; nil: it is taken with the next
	request  *http.Request
	body     *body // nil: the request has no content
	response *response
	target   string // of the request
	begun    int64  // when the first of the head was there, on the server's clock
	framed   framed

	// What is used again.
	url    url.URL
	gather *gather         // of the lines of heads; nil: they are for none
	head   *exchange.Lines // of requests
	reply  response
	heads  *exchange.Lines          // of responses
	ctx    *exchange.RequestContext // that the request has; nil: none yet
}

// framed is what is kept of a request's head that was parsed.
type framed struct {
	method   int   // how long it is
	target   int   // the same
	minor    uint8 // 0 for HTTP/1.0, 1 for HTTP/1.1
	framing  Framing
	rewrites bool
	length   int64 // of the content where framing is ByLength
}

// The sizes of buffers. A small one of each kind goes with a turn; the large one is borrowed for a piece. The small ones are no
// multiples of a page, but as large as what Go's allocator hands out in such a place: of those that begin with a page the first lines, where heads
// are, would all compete for the same few places in the processor's caches, with 64 requests under way four times 64 of them.
const (
	inBytes    = 4864
	outBytes   = 6528 // a head and a piece of 4 KiB
	pieceBytes = 64 << 10
	keptLines  = 128
)

func newTurn() *turn {
	return &turn{request: new(http.Request), head: exchange.NewLines(0), heads: exchange.NewLines(0)}
}

// lendAgain takes a turn back that a connection needs no longer.
func (s *Server) lendAgain(t *turn) {
	t.between()
	*t.request, t.ctx = http.Request{}, nil // it may be long until the next one
	t.giveOut()
	t.in.giveBack()
	s.turns.Put(t)
}

// between ends the use of what belongs to one request. Nobody may use any of it afterwards.
func (t *turn) between() {
	if t.ctx != nil && t.ctx.Leave() { // then nobody has changed the request, and the next one writes all but this
		r := t.request
		r.Host, r.ContentLength, r.TransferEncoding, r.Trailer = "", 0, nil, nil
	} else {
		*t.request = http.Request{}
		t.ctx = nil
	}
	t.body, t.response = nil, nil
	t.head.Forget()
	t.heads.Forget()
	poison.URL(&t.url)
	poison.Bytes(t.out[:cap(t.out)])
	t.reply = response{}
}

// inlet is what has come and was not read yet: b, which begins somewhere in its room.
type inlet struct {
	b    []byte
	room []byte // the whole of it, where b does not begin at its begin

	drained bool // the last fill has got all that there was
}

// skip forgets the first n bytes.
func (i *inlet) skip(n int) {
	if n == len(i.b) {
		i.b = i.whole()[:0]
		i.room = nil
		return
	}
	i.room = i.whole()
	i.b = i.b[n:]
}

func (i *inlet) whole() []byte {
	if i.room == nil {
		return i.b
	}
	return i.room
}

// giveBack gives the room back, with what is in it. One that has grown is not used again.
func (i *inlet) giveBack() {
	if whole := i.whole(); cap(whole) == inBytes {
		giveIn(whole)
	}
	*i = inlet{}
}

// add puts p behind what there is.
func (i *inlet) add(p ...byte) {
	if cap(i.b) == 0 {
		i.b = takeIn()
	}
	i.b, i.drained = append(i.b, p...), false
}

// fill reads more, behind what there is, and makes room for it.
func (i *inlet) fill(from io.Reader) (int, error) {
	i.makeRoom()
	n, err := from.Read(i.b[len(i.b):cap(i.b)])
	i.b = i.b[:len(i.b)+n]
	i.drained = len(i.b) < cap(i.b)
	return n, err //nolint:wrapcheck // as Read
}

// fillAtOnce is fill of what need not be waited for.
func (i *inlet) fillAtOnce(from atOnce) {
	i.makeRoom()
	n := from.ReadAtOnce(i.b[len(i.b):cap(i.b)])
	i.b = i.b[:len(i.b)+n]
	i.drained = len(i.b) < cap(i.b)
}

// atOnce is a connection that gives what has come, and 0 where that is nothing.
type atOnce interface{ ReadAtOnce(p []byte) int }

// holds tells whether n more bytes have room in what there is, and moves what has come where they need it.
func (i *inlet) holds(n int) bool {
	whole := i.whole()
	switch {
	case n <= cap(i.b)-len(i.b):
		return true
	case n > cap(whole)-len(i.b):
		return false
	}
	whole = whole[:cap(whole)]
	i.b, i.room = whole[:copy(whole, i.b)], nil
	return true
}

func (i *inlet) makeRoom() {
	if cap(i.b) == 0 {
		i.b = takeIn()
	}
	if !i.holds(1) {
		i.b, i.room = slices.Grow(i.b, max(inBytes, len(i.b))), nil
	}
}

// giveOut gives the room of a response back, which has not begun and may be long in coming.
func (t *turn) giveOut() {
	if cap(t.out) == outBytes {
		giveOut(t.out)
		t.out = nil
	}
}

// emptyOut is the room of a response that begins.
func (t *turn) emptyOut() []byte {
	if t.out == nil {
		t.out = takeOut()
	}
	return t.out[:0]
}

// gathers gives what gathers lines, which is made where there is none.
func (t *turn) gathers() *gather {
	if t.gather == nil {
		t.gather = new(gather)
	}
	return t.gather
}

// newReply gives the writer of a response. One that was kept stays given where that is to be found out.
func (t *turn) newReply() *response {
	if poison.On {
		return new(response)
	}
	return &t.reply
}
