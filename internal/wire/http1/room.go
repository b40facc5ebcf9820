package http1

import (
	"sync"

	"github.com/weir-gateway/weir/internal/base/poison"
)

// room is the memory that a round needs, lent to it from its beginning until its response has arrived completely. The
// room then stays with the link for as long as one round follows another there.
type room struct {
	in  inlet
	out []byte
}

// A room that has grown beyond this is not reused.
const mostRoom = 4 * inBytes

// Empty buffers for the Client's rooms and the Server's turns, which give them back while they wait for something slow.
var (
	spareIns  = sync.Pool{New: func() any { return new([inBytes]byte) }}
	spareOuts = sync.Pool{New: func() any { return new([outBytes]byte) }}
)

func takeIn() []byte {
	in, _ := spareIns.Get().(*[inBytes]byte)
	return in[:0]
}

func takeOut() []byte {
	out, _ := spareOuts.Get().(*[outBytes]byte)
	return out[:0]
}

// giveIn gives back a buffer that takeIn returned, or one that is as large.
func giveIn(in []byte) {
	poison.Bytes(in[:inBytes])
	spareIns.Put((*[inBytes]byte)(in[:inBytes]))
}

// giveOut gives back a buffer that takeOut returned, or one that is as large.
func giveOut(out []byte) {
	poison.Bytes(out[:outBytes])
	spareOuts.Put((*[outBytes]byte)(out[:outBytes]))
}

// furnish gives r a room, if it got none with its link.
func (r *round) furnish() {
	if r.room == nil {
		r.room, _ = r.client.rooms.Get().(*room)
	}
	if r.room.in.b == nil {
		r.room.in.b, r.spare = r.spare, nil
	}
	if r.room.in.b == nil {
		r.room.in.b = takeIn()
	}
	if r.room.out == nil {
		r.room.out = takeOut()
	}
}

// spares keeps the buffer of in, which nobody reads any more, for the next use of r.
func (r *round) spares(in inlet) {
	if whole := in.whole(); cap(whole) == inBytes {
		poison.Bytes(whole[:inBytes])
		r.spare = whole[:0]
	}
}

// lighten gives back what a round no longer needs that reads content straight from its link: it may be under way for as
// long as a client takes for a large response.
func (r *room) lighten(chunked bool) {
	if cap(r.out) == outBytes {
		giveOut(r.out)
		r.out = nil
	}
	if !chunked {
		r.in.giveBack()
	}
}

// empty makes a room ready for another round.
func (r *room) empty() {
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
}
