package clients_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
)

// caller is a client that does one thing. Everything that it does follows from its number.
type caller struct {
	*rand.Rand

	number  uint64
	address string
	client  *http.Client // with kept connections
}

// size returns a size of any magnitude up to four megabytes.
func (c *caller) size() int {
	if c.IntN(8) == 0 {
		return 0
	}
	return c.upTo(1 << c.IntN(23))
}

// upTo returns a number from 1 to n.
func (c *caller) upTo(n int) int { return 1 + c.IntN(n) }

func (c *caller) some(words ...string) string { return words[c.IntN(len(words))] }

// of returns the content of this conversation.
func (c *caller) of(size int) *content { return &content{seed: c.number, size: size} }

func (c *caller) path(path string, of *content) string {
	return fmt.Sprintf("%s?seed=%d&size=%d&how=%s", path, of.seed, of.size, c.some("length", "chunked", "trailers", "slow"))
}

// dial opens a connection that only this conversation uses.
func (c *caller) dial() (*net.TCPConn, error) {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), conn.SetDeadline(time.Now().Add(6 * await.Patience))
}

// is checks that a response is complete and correct.
func (of *content) is(res *http.Response) error {
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body) // only for the error message
		return fmt.Errorf("%s: %.300s", res.Status, text)
	}
	if _, err := io.Copy(of, res.Body); err != nil {
		return err
	}
	if err := of.whole(); err != nil {
		return err
	}
	if _, announced := res.Trailer["X-End"]; announced && res.Trailer.Get("X-End") != "end" {
		return fmt.Errorf("the trailers are %v", res.Trailer)
	}
	return nil
}

// give receives content.
func (c *caller) give() error {
	of := c.of(c.size())
	res, err := c.client.Get("http://" + c.address + c.path("/give", of))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return of.is(res)
}

// take sends content, with a length or in chunks with trailers, and with or without waiting for 100 Continue.
func (c *caller) take() error {
	size := c.size()
	request, err := http.NewRequest(http.MethodPost, "http://"+c.address+c.path("/take", c.of(size)), struct{ io.Reader }{c.of(size)})
	if err != nil {
		return err
	}
	want := "<nil> "
	if c.IntN(2) == 0 {
		request.ContentLength = int64(size)
	} else {
		request.Trailer = http.Header{"X-End": {"end"}}
		want += "end"
	}
	if c.IntN(3) == 0 {
		request.Header.Set("Expect", "100-continue")
	}
	if size == 0 {
		request.ContentLength, request.Trailer, request.Body, want = 0, nil, http.NoBody, "<nil> "
	}
	res, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || string(text) != want) {
		err = fmt.Errorf("%d bytes: %s %.300q, want %q", size, res.Status, text, want)
	}
	return err
}

// both sends content and receives it back at the same time.
func (c *caller) both() error {
	size := c.upTo(1 << c.IntN(23))
	request, err := http.NewRequest(http.MethodPost, "http://"+c.address+"/both", struct{ io.Reader }{c.of(size)})
	if err != nil {
		return err
	}
	request.Trailer = http.Header{"X-End": {"end"}}
	res, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return c.of(size).is(res)
}

// none requests responses that have no content, whatever their header fields say about it.
func (c *caller) none() error {
	of := c.of(c.size())
	method, path, want := http.MethodHead, c.path("/give", of), http.StatusOK
	if c.IntN(2) == 0 {
		want = []int{http.StatusNoContent, http.StatusNotModified}[c.IntN(2)]
		method, path = http.MethodGet, fmt.Sprint("/none?status=", want)
	}
	request, err := http.NewRequest(method, "http://"+c.address+path, http.NoBody)
	if err != nil {
		return err
	}
	res, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != want || len(text) > 0) {
		err = fmt.Errorf("%s %s: %s %.300q", method, path, res.Status, text)
	}
	return err
}

// pipeline sends several requests before it reads the first response, in pieces that end anywhere.
func (c *caller) pipeline() error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	var text bytes.Buffer
	var asked []*content
	for i := range c.upTo(8) {
		of := &content{seed: c.number<<8 | uint64(i), size: c.upTo(1 << c.IntN(17))}
		asked = append(asked, of)
		if i%3 == 2 { // the backend takes it and gives a short answer
			fmt.Fprintf(&text, "POST %s HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n", c.path("/take", of), of.size)
			_, _ = io.Copy(&text, &content{seed: of.seed, size: of.size}) // a write to a buffer cannot fail
			asked[i] = nil
			continue
		}
		fmt.Fprintf(&text, "GET %s HTTP/1.1\r\nHost: shop\r\n\r\n", c.path("/give", of))
	}
	sent := make(chan error, 1)
	go func() {
		var err error
		for text.Len() > 0 && err == nil {
			_, err = conn.Write(text.Next(c.upTo(text.Len())))
		}
		sent <- err
	}()
	in := bufio.NewReader(conn)
	for i, of := range asked {
		res, err := http.ReadResponse(in, nil)
		if err == nil && of != nil {
			err = of.is(res)
		} else if err == nil {
			var said []byte
			if said, err = io.ReadAll(res.Body); err == nil && string(said) != "<nil> " {
				err = fmt.Errorf("%s %.300q", res.Status, said)
			}
		}
		if err != nil {
			return fmt.Errorf("response %d of %d: %w", i+1, len(asked), err)
		}
	}
	return <-sent
}

// slow sends its head in pieces, and reads the response in small ones.
func (c *caller) slow() error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadBuffer(4 << 10); err != nil {
		return err
	}
	of := c.of(c.upTo(1 << c.IntN(20)))
	head := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n", c.path("/give", of))
	for len(head) > 0 {
		n := c.upTo(min(len(head), 40))
		if _, err := io.WriteString(conn, head[:n]); err != nil {
			return err
		}
		head = head[n:]
		<-time.After(time.Duration(c.IntN(10)) * time.Millisecond)
	}
	res, err := http.ReadResponse(bufio.NewReader(&sipped{conn, c.Rand}), nil)
	if err != nil {
		return err
	}
	return of.is(res)
}

// sipped is a connection from which only a little is read at a time.
type sipped struct {
	io.Reader
	*rand.Rand
}

func (s *sipped) Read(p []byte) (int, error) {
	if s.IntN(8) == 0 {
		<-time.After(time.Duration(s.IntN(8)) * time.Millisecond)
	}
	return s.Reader.Read(p[:min(len(p), 1+s.IntN(16<<10))])
}

// reset breaks off anywhere: in a head, in content that it sends, or in a response.
func (c *caller) reset() error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer func() { _ = errors.Join(conn.SetLinger(0), conn.Close()) }() // the reset is intended
	of := c.of(c.upTo(1 << 20))
	switch c.IntN(3) {
	case 0:
		head := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: shop\r\n\r\n", c.path("/give", of))
		_, err = io.WriteString(conn, head[:c.IntN(len(head))])
	case 1:
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n", c.path("/take", of), of.size)
		if err == nil {
			_, err = io.CopyN(conn, of, int64(c.IntN(of.size)))
		}
	default:
		return c.asFarAsItComes(conn, of, int64(c.upTo(of.size)))
	}
	return err
}

// halfClose ends its direction after its request, which a server may take for a client that leaves. What arrives must
// be correct, as far as it goes.
func (c *caller) halfClose() error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	of := c.of(c.upTo(1 << c.IntN(20)))
	return c.asFarAsItComes(closedAfter{conn}, of, int64(of.size)+1)
}

// closedAfter is a connection whose client ends its direction after one write.
type closedAfter struct{ *net.TCPConn }

func (c closedAfter) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	return n, errors.Join(err, c.CloseWrite())
}

// clientLeft is the status for a client that is taken to have left.
const clientLeft = 499

// asFarAsItComes requests content, and reads at most that much of it.
func (c *caller) asFarAsItComes(conn io.ReadWriter, of *content, most int64) error {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: shop\r\n\r\n", c.path("/give", of)); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	switch {
	case brokenOff(err):
		return nil
	case err != nil:
		return err
	case res.StatusCode == clientLeft:
		return nil
	case res.StatusCode != http.StatusOK:
		return errors.New(res.Status)
	}
	_, err = io.CopyN(of, res.Body, most)
	if errors.Is(err, io.EOF) { // a complete response, by its framing
		return of.whole()
	}
	if brokenOff(err) {
		return nil
	}
	return err
}

// brokenOff reports whether a connection ended too early.
func brokenOff(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// upgrade talks over a connection that no longer speaks HTTP, until it has sent everything.
func (c *caller) upgrade() error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /switch HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("%v, %w", res, err)
	}
	size := c.size()
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(conn, struct{ io.Reader }{c.of(size)})
		sent <- errors.Join(err, conn.CloseWrite())
	}()
	of := c.of(size)
	_, err = io.Copy(of, struct{ io.Reader }{in})
	return errors.Join(err, of.whole(), <-sent)
}

// early sends more than the backend waits for; the backend answers before it has all.
func (c *caller) early() error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	of := c.of(c.upTo(4 << 20))
	go func() {
		_, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n", c.path("/early", of), of.size)
		if err == nil {
			_, _ = io.Copy(conn, struct{ io.Reader }{of}) // nothing reads it any more
		}
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusRequestEntityTooLarge || string(text) != "early") {
		err = fmt.Errorf("%s %.300q", res.Status, text)
	}
	return err
}

// cut requests a response from a backend that breaks off. The client must not be led to believe that it is complete.
func (c *caller) cut() error {
	of := c.of(c.size())
	path := c.path("/cut/give", of)
	if c.IntN(2) == 0 {
		path += "&reset=1"
	}
	res, err := c.client.Get("http://" + c.address + path)
	switch {
	case err != nil && strings.Contains(err.Error(), "EOF"):
		return nil
	case err != nil:
		return err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusBadGateway {
		return nil
	}
	if _, err = io.Copy(of, res.Body); err == nil {
		return fmt.Errorf("a response that was broken off after %d bytes is a whole one: %s", of.at, res.Status)
	}
	if brokenOff(err) {
		return nil
	}
	return err
}
