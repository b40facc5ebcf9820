package abuse_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weir-gateway/weir/internal/base/await"
)

// flood is something that an HTTP/2 client does again and again on one connection.
type flood struct {
	name  string
	times int // at full strength
	each  int // frames per repetition
	begin func(c *client)
	do    func(c *client, i int)
	// within is how many frames Weir accepts at most.
	within int
	calm   bool // the GOAWAY must say ENHANCE_YOUR_CALM; otherwise any code will do
	inside bool // a header block is open: no other frame may follow
}

func odd(i int) uint32 { return uint32(2*i + 1) }

func floods() []flood {
	return []flood{
		{name: "rapid reset", times: 100_000, each: 2, within: 1000, calm: true, do: func(c *client, i int) {
			c.request(odd(i))
			c.must(c.f.WriteRSTStream(odd(i), http2.ErrCodeCancel))
		}},
		{name: "MadeYouReset", times: 20_000, each: 2, within: 1000, calm: true, do: func(c *client, i int) {
			c.request(odd(i))
			c.must(c.f.WriteRawFrame(http2.FrameWindowUpdate, 0, odd(i), make([]byte, 4)))
		}},
		{name: "CONTINUATION, empty", times: 100_000, each: 1, within: 1000, inside: true, begin: func(c *client) {
			c.must(c.f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.fields()}))
		}, do: func(c *client, _ int) {
			c.must(c.f.WriteContinuation(1, false, nil))
		}},
		{name: "CONTINUATION, full", times: 2000, each: 1, within: 100, inside: true, begin: func(c *client) {
			c.must(c.f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.fields()}))
		}, do: func(c *client, i int) {
			c.block.Reset()
			c.field(fmt.Sprintf("a-%d", i), strings.Repeat("\x00", 15_000)) // not Huffman-coded
			c.must(c.f.WriteContinuation(1, false, c.block.Bytes()))
		}},
		// Each request refers to a 4 kB field some 14000 times, with one byte each.
		{name: "HPACK bomb of 58 MB", times: 2000, each: 1, within: 10, calm: true, begin: func(c *client) {
			c.block.Reset()
			c.fields()
			c.field("bomb", strings.Repeat("a", 4000))
			c.must(c.f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: true, BlockFragment: c.block.Bytes()}))
		}, do: func(c *client, i int) {
			const newest = 0x80 | 62 // of the dynamic table, as an index
			block := append(bytes.Clone(c.fields()), bytes.Repeat([]byte{newest}, 14_500)...)
			c.must(c.f.WriteHeaders(http2.HeadersFrameParam{StreamID: odd(i + 1), EndStream: true, EndHeaders: true, BlockFragment: block}))
		}},
		{name: "PING", times: 100_000, each: 1, within: 1000, calm: true, do: func(c *client, _ int) { c.must(c.f.WritePing(false, [8]byte{})) }},
		{name: "SETTINGS", times: 100_000, each: 1, within: 1000, calm: true, do: func(c *client, i int) {
			c.must(c.f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)}))
		}},
		{name: "DATA without content", times: 100_000, each: 1, within: 1000, calm: true, begin: func(c *client) {
			c.must(c.f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: c.fields()}))
		}, do: func(c *client, _ int) { c.must(c.f.WriteData(1, false, nil)) }},
		{name: "PRIORITY", times: 100_000, each: 1, within: 1000, calm: true, do: func(c *client, i int) {
			c.must(c.f.WritePriority(odd(i)+2, http2.PriorityParam{StreamDep: odd(i)}))
		}},
		{name: "WINDOW_UPDATE of 1", times: 100_000, each: 1, within: 1000, calm: true, do: func(c *client, _ int) { c.must(c.f.WriteWindowUpdate(0, 1)) }},
		{name: "unknown frames", times: 100_000, each: 1, within: 1000, calm: true, do: func(c *client, _ int) { c.must(c.f.WriteRawFrame(0xbb, 0, 0, nil)) }},
	}
}

// client is the attacker's end of a connection. It writes into a buffer.
type client struct {
	t     testing.TB
	conn  net.Conn
	buf   bytes.Buffer
	f     *http2.Framer
	block bytes.Buffer
	hpack *hpack.Encoder

	goaway atomic.Int64  // the code of the server's GOAWAY, -1 before it
	ended  chan struct{} // closed when the server has closed the connection
	answer atomic.Int64  // how many streams were answered
	pongs  atomic.Int64  // how many pings were answered
}

// dialHTTP2 connects over TLS and sends what every client sends first.
func dialHTTP2(t testing.TB, address string) *client {
	t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: await.Patience}, "tcp", address,
		&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}) // an attacker does not check who answers
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, conn: conn, ended: make(chan struct{})}
	c.goaway.Store(-1)
	c.f = http2.NewFramer(&c.buf, nil)
	c.f.AllowIllegalWrites = true
	c.hpack = hpack.NewEncoder(&c.block)
	c.buf.WriteString(http2.ClientPreface)
	c.must(c.f.WriteSettings())
	c.must(c.f.WriteSettingsAck())
	go c.read()
	return c
}

func (c *client) must(err error) {
	if err != nil {
		c.t.Fatal(err) // a write to a buffer cannot fail
	}
}

func (c *client) field(name, value string) {
	c.must(c.hpack.WriteField(hpack.HeaderField{Name: name, Value: value}))
}

func (c *client) fields() []byte {
	c.block.Reset()
	for _, field := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "localhost"}, {":path", "/"}} {
		c.field(field[0], field[1])
	}
	return c.block.Bytes()
}

func (c *client) request(stream uint32) {
	c.must(c.f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, EndStream: true, EndHeaders: true, BlockFragment: c.fields()}))
}

// read looks only at the headers of frames, because it must be faster than the server.
func (c *client) read() {
	defer close(c.ended)
	r := io.Reader(c.conn)
	for {
		head, err := http2.ReadFrameHeader(r)
		if err != nil {
			return
		}
		payload := make([]byte, head.Length)
		if _, err := io.ReadFull(r, payload); err != nil {
			return
		}
		switch {
		case head.Type == http2.FrameGoAway && len(payload) >= 8:
			c.goaway.Store(int64(binary.BigEndian.Uint32(payload[4:])))
		case head.Type == http2.FrameHeaders:
			c.answer.Add(1)
		case head.Type == http2.FramePing && head.Flags.Has(http2.FlagPingAck):
			c.pongs.Add(1)
		}
	}
}

// over reports whether the server has ended the connection, or is about to.
func (c *client) over() bool {
	select {
	case <-c.ended:
		return true
	default:
		return c.goaway.Load() >= 0
	}
}

// outcome is how a connection ended.
type outcome struct {
	frames int // written before the end was noticed
	over   bool
	said   string // the code of the GOAWAY
}

func (o outcome) String() string {
	if !o.over {
		return fmt.Sprintf("all %d taken", o.frames)
	}
	return fmt.Sprintf("%s after %d", o.said, o.frames)
}

// run repeats what f does until the connection ends: in large pieces, or so slowly that little is under way when it
// ends.
func (f *flood) run(c *client, times int, slowly bool) (o outcome) {
	const piece = 16 << 10
	deadline := time.Now().Add(attackTime)
	if slowly {
		deadline = deadline.Add(await.Patience)
	}
	if err := c.conn.SetWriteDeadline(deadline); err != nil {
		c.t.Fatal(err)
	}
	if f.begin != nil {
		f.begin(c)
	}
	broken := false
	for i := range times {
		f.do(c, i)
		o.frames += f.each
		if c.buf.Len() < piece && !slowly && i < times-1 {
			continue
		}
		if slowly && i%10 == 9 {
			o.frames += f.catchUp(c)
		}
		_, err := c.buf.WriteTo(c.conn)
		broken = err != nil // the reader may not have noticed the end yet
		if broken || c.over() {
			break
		}
	}
	if !slowly || broken || c.over() {
		select {
		case <-c.ended:
		case <-time.After(time.Until(deadline)):
		}
	}
	o.over = c.over()
	o.said = "closed"
	if code := c.goaway.Load(); code >= 0 {
		o.said = http2.ErrCode(code).String()
	}
	return o
}

// catchUp waits until the server has processed what was written, and returns how many frames that took. The answer to
// a ping shows it. Where no ping may be sent, it waits until the server has read everything, which happens only after
// it has processed what came before.
func (f *flood) catchUp(c *client) (frames int) {
	pongs := c.pongs.Load()
	if !f.inside {
		frames = 1
		c.must(c.f.WritePing(false, [8]byte{}))
	}
	if _, err := c.buf.WriteTo(c.conn); err != nil {
		return frames
	}
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for begun := time.Now(); !c.over() && time.Since(begun) < await.Patience; {
		<-tick.C
		if f.inside && unread(c.conn) == 0 || !f.inside && c.pongs.Load() > pongs {
			break
		}
	}
	return frames
}
