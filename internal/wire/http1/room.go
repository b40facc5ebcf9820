package http1

import (
	"sync"

	"github.com/weir-gateway/weir/internal/base/poison"
)

// room is what a round needs of memory: lent from its begin until its response has come whole.
type room struct {
	in  inlet
	out []byte
}

// A room that has grown beyond this is not used again.
const mostRoom = 4 * inBytes

// What a room has lost to lighten comes from here.
var (
	spareIns  = sync.Pool{New: func() any { return new([inBytes]byte) }}
	spareOuts = sync.Pool{New: func() any { return new([outBytes]byte) }}
)

// borrow gives a room.
func (c *Client) borrow() *room {
	r, _ := c.rooms.Get().(*room)
	if r.in.b == nil {
		in, _ := spareIns.Get().(*[inBytes]byte)
		r.in.b = in[:0]
	}
	if r.out == nil {
		out, _ := spareOuts.Get().(*[outBytes]byte)
		r.out = out[:0]
	}
	return r
}

// lighten gives back what a round does not need any more that reads content straight from its link: it may be
// under way for as long as a client takes for a large response.
func (r *room) lighten(chunked bool) {
	if cap(r.out) == outBytes {
		poison.Bytes(r.out[:outBytes])
		spareOuts.Put((*[outBytes]byte)(r.out[:outBytes]))
		r.out = nil
	}
	if in := r.in.whole(); !chunked && cap(in) == inBytes {
		poison.Bytes(in[:inBytes])
		spareIns.Put((*[inBytes]byte)(in[:inBytes]))
		r.in = inlet{}
	}
}

// lendAgain takes a room back.
func (c *Client) lendAgain(r *room) {
	in := r.in.whole()
	if cap(in) > mostRoom {
		in = nil
	}
	if cap(r.out) > mostRoom+mostInline {
		r.out = nil
	}
	r.in, r.out = inlet{b: in[:0]}, r.out[:0]
	poison.Bytes(r.in.b[:cap(r.in.b)])
	poison.Bytes(r.out[:cap(r.out)])
	c.rooms.Put(r)
}
