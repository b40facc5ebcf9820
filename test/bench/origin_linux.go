package main

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// bodyOf returns content of a given size. Its period is not a power of two, so that a piece in the wrong place is
// noticed.
func bodyOf(size int) []byte {
	body := make([]byte, size)
	for i := range body {
		body[i] = 'a' + byte(i*7%251%26)
	}
	return body
}

// The sizes of the requested bodies.
const (
	small  = 1 << 10
	medium = 100 << 10
	large  = 1 << 20
)

// writeFiles writes the files that the origin serves.
func writeFiles(folder string) error {
	files := filepath.Join(folder, "www", "file")
	if err := os.MkdirAll(files, 0o755); err != nil { //nolint:gosec // nginx reads it as somebody else
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(files, "100k"), bodyOf(medium), 0o644), //nolint:gosec // as above
		os.WriteFile(filepath.Join(files, "1m"), bodyOf(large), 0o644))    //nolint:gosec // as above
}

// ownOrigin is an origin for what nginx cannot do: it sends back what it receives.
type ownOrigin struct {
	http.Server

	port int
}

func startOwnOrigin() (*ownOrigin, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /own/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Powered-By", "bench")
		for _, name := range []string{"X-Tenant", "X-Debug", "X-Forwarded-For", "X-Request-Id"} {
			w.Header()["Saw-"+name] = r.Header[name]
		}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			_, _ = w.Write(body) // the client notices what is missing
		}
	})
	mux.HandleFunc("GET /own/ws", talkBack)
	o := &ownOrigin{port: l.Addr().(*net.TCPAddr).Port, Server: http.Server{Handler: mux, ReadHeaderTimeout: patience}} //nolint:forcetypeassert // it is TCP
	go func() { _ = o.Serve(l) }()                                                                                      // closed at the end
	return o, nil
}

// talkBack is a WebSocket that sends each message back.
func talkBack(w http.ResponseWriter, r *http.Request) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as above
	conn, lines, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Time{}) // it ends when the client is gone
	_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "+
		base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
	buffer := make([]byte, 1<<16+8)
	for err == nil {
		err = echo(conn, lines.Reader, buffer)
	}
}

// echo reads a message with a two-byte length and sends it back.
func echo(conn io.Writer, in *bufio.Reader, buffer []byte) error {
	const head, masked = 4, 8
	if _, err := io.ReadFull(in, buffer[:masked]); err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint16(buffer[2:]))
	mask := [4]byte(buffer[head:masked])
	if _, err := io.ReadFull(in, buffer[head:head+size]); err != nil {
		return err
	}
	for i := range size {
		buffer[head+i] ^= mask[i%len(mask)] //nolint:gosec // what two bytes count has room in it
	}
	buffer[1] &= 0x7f
	_, err := conn.Write(buffer[:head+size])
	return err
}
