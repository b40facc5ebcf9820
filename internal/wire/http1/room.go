package http1

import "github.com/weir-gateway/weir/internal/base/poison"

// room is what a round needs of memory: lent from its begin until its response has come whole.
type room struct {
	in  inlet
	out []byte
}

// A room that has grown beyond this is not used again.
const mostRoom = 4 * inBytes

func newRoom() *room {
	return &room{in: inlet{b: make([]byte, 0, inBytes)}, out: make([]byte, 0, outBytes)}
}

// lendAgain takes a room back.
func (c *Client) lendAgain(r *room) {
	in := r.in.whole()
	if cap(in) > mostRoom {
		in = make([]byte, 0, inBytes)
	}
	if cap(r.out) > mostRoom+mostInline {
		r.out = make([]byte, 0, outBytes)
	}
	r.in, r.out = inlet{b: in[:0]}, r.out[:0]
	poison.Bytes(r.in.b[:cap(r.in.b)])
	poison.Bytes(r.out[:cap(r.out)])
	c.rooms.Put(r)
}
