package clients_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// content is a sequence of bytes that follow from a seed and their position, so that a wrong or misplaced byte is
// always noticed.
type content struct {
	seed uint64
	at   int
	size int
}

// Read returns the next bytes.
func (of *content) Read(p []byte) (n int, err error) {
	if of.at == of.size {
		return 0, io.EOF
	}
	p = p[:min(len(p), of.size-of.at)]
	var word [8]byte
	for n < len(p) {
		binary.LittleEndian.PutUint64(word[:], of.word(of.at/8))
		copied := copy(p[n:], word[of.at%8:])
		n += copied
		of.at += copied
	}
	return n, nil
}

// word returns the i-th eight bytes: a step of SplitMix64.
func (of *content) word(i int) uint64 {
	z := of.seed + uint64(i+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Write checks that p is the next bytes.
func (of *content) Write(p []byte) (int, error) {
	want := make([]byte, len(p))
	begun := of.at
	n, _ := io.ReadFull(of, want) // a shorter result is noticed below
	if n < len(p) {
		return 0, fmt.Errorf("there are more than %d bytes", of.size)
	}
	if !bytes.Equal(p, want) {
		for i := range p {
			if p[i] != want[i] {
				return 0, fmt.Errorf("byte %d of %d is wrong", begun+i, of.size)
			}
		}
	}
	return len(p), nil
}

// whole checks that all of it has arrived.
func (of *content) whole() error {
	if of.at != of.size {
		return fmt.Errorf("%d bytes of %d came", of.at, of.size)
	}
	return nil
}

// wanted returns the content that a request is about.
func wanted(r *http.Request) *content {
	seed, _ := strconv.ParseUint(r.URL.Query().Get("seed"), 10, 64) // written by the test itself
	size, _ := strconv.Atoi(r.URL.Query().Get("size"))
	return &content{seed: seed, size: size}
}

// manyManners is an origin that answers in every manner.
func manyManners() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /give", give)
	mux.HandleFunc("POST /take", func(w http.ResponseWriter, r *http.Request) {
		c := wanted(r)
		_, err := io.Copy(c, struct{ io.Reader }{r.Body})
		if err == nil {
			err = c.whole()
		}
		_, _ = fmt.Fprint(w, err, " ", r.Trailer.Get("X-End")) // the client notices what is missing
	})
	mux.HandleFunc("POST /both", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex() // this server supports it
		w.Header().Set("Trailer", "X-End")
		_, _ = io.Copy(flushed{w}, struct{ io.Reader }{r.Body}) // as above
		w.Header().Set("X-End", r.Trailer.Get("X-End"))
	})
	mux.HandleFunc("GET /none", func(w http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(r.URL.Query().Get("status")) // written by the test itself
		w.WriteHeader(status)
	})
	mux.HandleFunc("POST /early", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex() // this server supports it
		_, _ = io.CopyN(io.Discard, r.Body, 1000)            // some of it
		w.Header().Set("Content-Length", "5")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(flushed{w}, "early") // the client notices what is missing
		_, _ = io.Copy(io.Discard, r.Body)         // it may have been cut off
	})
	mux.HandleFunc("GET /switch", switched)
	mux.HandleFunc("GET /cut/give", func(w http.ResponseWriter, r *http.Request) {
		c := wanted(r)
		if r.URL.Query().Get("how") == "length" {
			w.Header().Set("Content-Length", strconv.Itoa(c.size+1))
		}
		_, _ = io.Copy(flushed{w}, c) // the client may be gone
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil && r.URL.Query().Get("reset") != "" {
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
		_ = conn.Close()
	})
	return mux
}

// flushed sends each piece at once.
type flushed struct{ http.ResponseWriter }

func (f flushed) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	if err == nil {
		err = http.NewResponseController(f.ResponseWriter).Flush()
	}
	return n, err
}

// give answers with content in the requested framing.
func give(w http.ResponseWriter, r *http.Request) {
	c := wanted(r)
	out := io.Writer(w)
	switch r.URL.Query().Get("how") {
	case "length":
		w.Header().Set("Content-Length", strconv.Itoa(c.size))
	case "chunked":
		out = flushed{w}
	case "trailers":
		w.Header().Set("Trailer", "X-End")
		defer w.Header().Set("X-End", "end")
	case "slow":
		defer func() { _, _ = io.Copy(w, c) }() // the rest
		for range 3 {
			if _, err := io.CopyN(flushed{w}, c, 1000); err != nil {
				return
			}
			<-time.After(10 * time.Millisecond)
		}
	}
	_, _ = io.Copy(out, c) // the client notices what is missing
}

// switched sends everything back until the client has sent everything.
func switched(w http.ResponseWriter, r *http.Request) {
	conn, lines, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	if err == nil {
		_, _ = io.Copy(conn, lines) // the client notices what is missing
	}
}
