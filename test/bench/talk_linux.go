package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// talker sends one request after another over a kept connection. It is for protocols that need more than a loader can
// do.
type talker interface {
	// ask returns after the next answer, if that is the expected one.
	ask() error
	io.Closer
}

// crowd is a set of talkers that run at the same time.
type crowd []talker

func (c crowd) close() error {
	var errs []error
	for _, t := range c {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}

// run has all of them send requests for a time.
func (c crowd) run(d time.Duration, _ int) (tally, error) {
	tallies := make([]tally, len(c))
	begun := time.Now()
	end := begun.Add(d)
	var talking sync.WaitGroup
	for i, t := range c {
		talking.Go(func() {
			for at := time.Now(); at.Before(end) && tallies[i].wrong == ""; {
				if err := t.ask(); err != nil {
					tallies[i].failf("%v", err)
					return
				}
				now := time.Now()
				tallies[i].waits = append(tallies[i].waits, now.Sub(at))
				tallies[i].answers++
				at = now
			}
		})
	}
	talking.Wait()
	all := tally{took: time.Since(begun)}
	for _, t := range tallies {
		all.answers += t.answers
		all.waits = append(all.waits, t.waits...)
		if t.wrong != "" {
			all.failf("%s", t.wrong)
		}
	}
	return all, nil
}

// newCrowd opens that many talkers.
func newCrowd(many int, open func() (talker, error)) (crowd, error) {
	var c crowd
	for range many {
		t, err := open()
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c = append(c, t)
	}
	return c, nil
}

// dialTLS connects to a proxy and negotiates this protocol.
func dialTLS(port int, trust *tls.Config, protocol string) (net.Conn, error) {
	config := trust.Clone()
	config.NextProtos = []string{protocol}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", fmt.Sprint("127.0.0.1:", port), config)
	if err != nil {
		return nil, err
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != protocol {
		return nil, errors.Join(fmt.Errorf("%q is spoken, not %s", got, protocol), conn.Close())
	}
	return conn, nil
}

// plainTalk is HTTP/1.1 over any connection.
type plainTalk struct {
	net.Conn
	question

	in   *bufio.Reader
	body []byte
}

func newPlainTalk(conn net.Conn, q question) *plainTalk {
	return &plainTalk{Conn: conn, question: q, in: bufio.NewReaderSize(conn, 16<<10), body: make([]byte, len(q.body))}
}

func (t *plainTalk) ask() error {
	if _, err := t.Write(t.requests[0]); err != nil {
		return err
	}
	length := 0
	for i := 0; ; i++ {
		line, err := t.in.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case i == 0 && !bytes.HasPrefix(line, []byte("HTTP/1.1 200")):
			return fmt.Errorf("%q is not 200", line)
		case is(line, "content-length:"):
			_, err = fmt.Sscan(string(line[len("content-length:"):]), &length)
		}
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
	}
	if length != len(t.body) {
		return fmt.Errorf("a response has a length of %d, not %d", length, len(t.body))
	}
	if _, err := io.ReadFull(t.in, t.body); err != nil {
		return err
	}
	if !bytes.Equal(t.body, t.question.body) {
		return errors.New("a body is wrong")
	}
	return nil
}

// streams is how many requests are under way on an HTTP/2 connection.
const streams = 16

// manyTalk is HTTP/2.
type manyTalk struct {
	net.Conn

	frames *http2.Framer
	out    *bufio.Writer
	head   []byte // the header block of each request
	body   []byte // of each response
	next   uint32 // stream
	missed map[uint32]int
}

func newManyTalk(conn net.Conn, path string, body []byte) (*manyTalk, error) {
	t := &manyTalk{Conn: conn, out: bufio.NewWriterSize(conn, 16<<10), body: body, next: 1, missed: map[uint32]int{}}
	t.frames = http2.NewFramer(t.out, bufio.NewReaderSize(conn, 64<<10))
	t.frames.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var block bytes.Buffer
	fields := hpack.NewEncoder(&block)
	fields.SetMaxDynamicTableSize(0) // the same bytes each time
	for _, f := range [][2]string{{":method", http.MethodGet}, {":scheme", "https"}, {":authority", "localhost"}, {":path", path}} {
		if err := fields.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return nil, err
		}
	}
	t.head = block.Bytes()
	const window = 1 << 30 // more than one connection receives in a run
	if _, err := t.out.WriteString(http2.ClientPreface); err != nil {
		return nil, err
	}
	err := errors.Join(
		t.frames.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}, http2.Setting{ID: http2.SettingEnablePush, Val: 0}),
		t.frames.WriteWindowUpdate(0, window))
	for range streams {
		err = errors.Join(err, t.send())
	}
	return t, errors.Join(err, t.out.Flush())
}

func (t *manyTalk) send() error {
	t.missed[t.next] = len(t.body)
	t.next += 2
	return t.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: t.next - 2, BlockFragment: t.head, EndHeaders: true, EndStream: true})
}

// ask waits for the next stream to end, and begins another.
func (t *manyTalk) ask() error {
	for {
		frame, err := t.frames.ReadFrame()
		if err != nil {
			return err
		}
		over := false
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			if status := f.PseudoValue("status"); status != "200" {
				return fmt.Errorf("%q is not 200", status)
			}
			over = f.StreamEnded()
		case *http2.DataFrame:
			if err := t.take(f); err != nil {
				return err
			}
			over = f.StreamEnded()
		case *http2.SettingsFrame:
			if !f.IsAck() {
				err = errors.Join(t.frames.WriteSettingsAck(), t.out.Flush())
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				err = errors.Join(t.frames.WritePing(true, f.Data), t.out.Flush())
			}
		case *http2.GoAwayFrame, *http2.RSTStreamFrame:
			err = fmt.Errorf("%v", frame)
		}
		if err != nil {
			return err
		}
		if over {
			return t.over(frame.Header().StreamID)
		}
	}
}

func (t *manyTalk) take(f *http2.DataFrame) error {
	missing := t.missed[f.StreamID]
	if at := len(t.body) - missing; len(f.Data()) > missing || !bytes.Equal(f.Data(), t.body[at:at+len(f.Data())]) {
		return fmt.Errorf("after %d bytes of a body there are wrong ones", at)
	}
	t.missed[f.StreamID] -= len(f.Data())
	return nil
}

func (t *manyTalk) over(stream uint32) error {
	if missing := t.missed[stream]; missing != 0 {
		return fmt.Errorf("a body ended %d bytes early", missing)
	}
	delete(t.missed, stream)
	return errors.Join(t.send(), t.out.Flush())
}

// echoTalk is a WebSocket to a server that echoes every message.
type echoTalk struct {
	net.Conn

	in         *bufio.Reader
	said, want []byte // a whole frame each
	got        []byte
}

// aMessage is the size of a message.
const aMessage = 1024

func newEchoTalk(conn net.Conn) (*echoTalk, error) {
	t := &echoTalk{Conn: conn, in: bufio.NewReader(conn)}
	request := "GET /own/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(t.in, nil)
	if err != nil {
		return nil, err
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		return nil, fmt.Errorf("an upgrade is answered with %s", res.Status)
	}
	message, mask := bodyOf(aMessage), [4]byte{0x5a, 0xa5, 0x3c, 0xc3}
	t.want = append(frameHead(0), message...)
	t.said = append(append(frameHead(0x80), mask[:]...), message...)
	for i := range message {
		t.said[len(t.said)-len(message)+i] ^= mask[i%4]
	}
	t.got = make([]byte, len(t.want))
	return t, nil
}

// frameHead returns the beginning of a binary message frame (RFC 6455, section 5.2).
func frameHead(masked byte) []byte {
	const binaryAndFinal, twoBytes = 0x82, 126
	return binary.BigEndian.AppendUint16([]byte{binaryAndFinal, masked | twoBytes}, aMessage)
}

func (t *echoTalk) ask() error {
	if _, err := t.Write(t.said); err != nil {
		return err
	}
	if _, err := io.ReadFull(t.in, t.got); err != nil {
		return err
	}
	if !bytes.Equal(t.got, t.want) {
		return errors.New("an echo is not what was said")
	}
	return nil
}
