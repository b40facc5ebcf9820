package http1

import (
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/poison"
)

// turn is the memory that a connection needs while something comes or goes on it: requests and responses are made in
// it. It is lent to one connection at a time. Its parts are reused with each request if the handler reads heads as
// lines.
type turn struct {
	in       inlet
	out      []byte // buffer of responses, empty between them; nil: the next one takes it
	request  *http.Request
	body     *body // nil: the request has no content
	response *response
	unsent   []byte // the end of the response before, which is sent before anything is read; nil: none
	target   string // of the request
	begun    int64  // when the first byte of the head was there, on the server's clock
	framed   framed

	// The fields below are reused.
	url    url.URL
	gather *gather         // gathers the lines of heads; nil: made when needed
	head   *exchange.Lines // of requests
	reply  response
	heads  *exchange.Lines          // of responses
	ctx    *exchange.RequestContext // of the request; nil: none yet
	talk   talk                     // of whichever connection has the turn
}

// framed is what is kept of a parsed request head.
type framed struct {
	method   int   // its length
	target   int   // its length
	minor    uint8 // 0 for HTTP/1.0, 1 for HTTP/1.1
	framing  Framing
	rewrites bool
	length   int64 // of the content, if framing is ByLength
}

// The sizes of buffers. A small one of each kind goes with a turn; the large one is borrowed for a piece. The small
// sizes are not multiples of a page, but size classes of Go's allocator. If buffers began at page boundaries, their
// first cache lines, where heads are, would all compete for the same few places in the processor's caches: with 64
// requests under way, four times 64 of them.
const (
	inBytes    = 4864
	outBytes   = 6528 // a head and a piece of 4 KiB
	pieceBytes = 64 << 10
	keptLines  = 128
)

func newTurn() *turn {
	return &turn{request: new(http.Request), head: exchange.NewLines(0), heads: exchange.NewLines(0)}
}

// lendAgain takes back a turn that a connection no longer needs.
func (s *Server) lendAgain(t *turn) {
	t.between()
	*t.request, t.ctx = http.Request{}, nil // it may be long until the next request
	t.talk.socket = Socket{}
	t.giveOut()
	t.in.giveBack()
	s.turns.Put(t)
}

// between ends the use of everything that belongs to one request. Nobody may use any of it afterwards.
func (t *turn) between() {
	if t.ctx != nil && t.ctx.Leave() { // nobody has changed the request, and the next one sets all but this
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

// inlet holds received bytes that were not read yet: b, which lies somewhere in room.
type inlet struct {
	b    []byte
	room []byte // the whole buffer, if b does not begin at its start

	drained bool // the last fill got everything that had arrived
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

// giveBack gives the buffer back, with what is in it. One that has grown is not reused.
func (i *inlet) giveBack() {
	if whole := i.whole(); cap(whole) == inBytes {
		giveIn(whole)
	}
	*i = inlet{}
}

// add appends p to the unread bytes.
func (i *inlet) add(p ...byte) {
	if cap(i.b) == 0 {
		i.b = takeIn()
	}
	i.b, i.drained = append(i.b, p...), false
}

// fill reads more after the unread bytes, and makes room for it.
func (i *inlet) fill(from io.Reader) (int, error) {
	i.makeRoom()
	n, err := from.Read(i.b[len(i.b):cap(i.b)])
	i.b = i.b[:len(i.b)+n]
	i.drained = len(i.b) < cap(i.b)
	return n, err //nolint:wrapcheck // as Read
}

// fillAtOnce is fill for bytes that need not be waited for.
func (i *inlet) fillAtOnce(from atOnce) {
	i.makeRoom()
	n := from.ReadAtOnce(i.b[len(i.b):cap(i.b)])
	i.b = i.b[:len(i.b)+n]
	i.drained = len(i.b) < cap(i.b)
}

// atOnce is a connection that returns what has arrived, and 0 if that is nothing.
type atOnce interface{ ReadAtOnce(p []byte) int }

// holds reports whether n more bytes fit into the buffer, and moves the unread bytes to its start if they need that.
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

// giveOut gives back the buffer of a response that has not begun and may be long in coming.
func (t *turn) giveOut() {
	if cap(t.out) == outBytes {
		giveOut(t.out)
		t.out = nil
	}
}

// emptyOut returns the empty buffer of a response that begins.
func (t *turn) emptyOut() []byte {
	if t.out == nil {
		t.out = takeOut()
	}
	return t.out[:0]
}

// gathers returns the turn's gather, and makes one if there is none.
func (t *turn) gathers() *gather {
	if t.gather == nil {
		t.gather = new(gather)
	}
	return t.gather
}

// newReply returns the writer of a response. With poison.On it is a new one each time, so that a writer that a handler
// has kept stays given back.
func (t *turn) newReply() *response {
	if poison.On {
		return new(response)
	}
	return &t.reply
}
