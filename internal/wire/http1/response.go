package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/field"
)

// response is the writer of one response. It collects what it sends in out until that is full, the handler flushes or
// has returned, so that a small response is sent in one piece. If the handler has not said how long the content is,
// this is determined then.
//
// It implements what http.ResponseController looks for, and io.ReaderFrom. A handler may read and write content at the
// same time.
type response struct {
	conn   *Conn
	turn   *turn
	header http.Header
	lines  *exchange.Lines // that header stands for, unless it was made plain; nil: it never stood for lines

	out      []byte // what is to be sent; nil: nothing was written, and no buffer taken
	content  int    // where in out content begins, while the head is not complete
	status   int    // 0: no final head was written
	framed   bool   // the head is complete
	chunked  bool
	declared int64  // length of the content that the handler has declared, or unknown
	length   string // the line that says so, already parsed; "": to be made
	written  int64  // bytes of content
	fields   seen
	isHead   bool
	old      bool // HTTP/1.0
	keeps    bool // the client asked for the connection to be kept
	ends     bool // the connection ends with this response
	hijacked bool
	given    bool     // nothing may be written any more
	backlog  *backlog // is sent before out; nil: nothing
	err      error

	mu          sync.Mutex // guards what follows
	mayContinue bool
}

// sniffBytes is how many bytes http.DetectContentType looks at.
const sniffBytes = 512

// chunkRoom is what a chunk takes in addition to its data: its size, and two line ends.
const chunkRoom = 16

// unknown is a length that nobody has declared.
const unknown = -1

// seen is what the fields of a response tell the server.
type seen struct {
	date, kind, encoded, connection bool
	closes                          bool // Connection: close
	chunks                          bool // something that only chunked content has: a coding, or announced trailers
}

// Header returns the head of the response.
func (w *response) Header() http.Header { return w.header }

// proceed asks the client for its content, if it waits for that.
func (w *response) proceed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mayContinue {
		w.mayContinue = false
		_, _ = io.WriteString(w.conn.net, "HTTP/1.1 100 Continue\r\n\r\n") // reading the content then fails too
	}
}

// WriteHeader writes a head. An informational one is sent at once, and more may follow.
func (w *response) WriteHeader(status int) {
	switch {
	case status < 100 || status > 999:
		panic("http1: a status has three digits, not " + strconv.Itoa(status))
	case w.hijacked || w.status != 0:
		w.conn.server.options.Log.Debug("a head was written after the final one", "status", status)
		return
	}
	if w.out == nil {
		w.out = w.turn.emptyOut()
	}
	w.mu.Lock()
	w.mayContinue = w.mayContinue && status < http.StatusOK && status != http.StatusContinue
	w.mu.Unlock()
	if status < http.StatusOK && status != http.StatusSwitchingProtocols {
		w.inform(status)
		return
	}
	w.status = status
	w.begin()
	if w.declared >= 0 && !w.guesses() || w.isHead && w.declared >= 0 || !hasContent(status) {
		w.frame(false)
	}
}

// inform sends a head of status 1xx.
func (w *response) inform(status int) {
	if w.old {
		return
	}
	w.out = appendStatus(w.out, w.old, status)
	for name, value := range exchange.MapHead(w.header).All() {
		if !strings.EqualFold(name, "Content-Length") && !strings.EqualFold(name, "Transfer-Encoding") {
			w.out = appendField(w.out, name, value)
		}
	}
	w.out = append(w.out, "\r\n"...)
	_ = w.send() // the next Write returns the error
}

// hasContent reports whether a response of that status may have content.
func hasContent(status int) bool {
	return status >= http.StatusOK && status != http.StatusNoContent && status != http.StatusNotModified
}

// begin writes the status line and the fields that the handler has set, except those for framing.
func (w *response) begin() {
	w.out = appendStatus(w.out, w.old, w.status)
	if w.lines != nil && !w.lines.IsPlain() {
		for _, line := range w.lines.List() {
			w.beginLine(line)
		}
	} else {
		w.beginFields()
	}
	w.content = len(w.out)
}

// beginLine writes a line, unless it is empty, for framing, or part of a trailer.
func (w *response) beginLine(line field.Line) {
	if line == "" {
		return
	}
	switch known := line.Known(); {
	case known == field.ContentLength:
		if w.declare(line.Value()) { // then it is sent as it is
			w.length, _ = line.Wire()
		}
		return
	case seenNames.Has(known) && !w.see(known, line.Value()):
		return
	}
	if wire, ok := line.Wire(); ok {
		w.out = append(w.out, wire...)
		return
	}
	if name := line.Name(); !strings.HasPrefix(name, http.TrailerPrefix) {
		w.out = appendField(w.out, name, line.Value())
	}
}

// beginFields is begin for an ordinary map.
func (w *response) beginFields() {
	for name, values := range w.header {
		for _, value := range values {
			if w.see(field.Know(name), value) && !strings.HasPrefix(name, http.TrailerPrefix) {
				w.out = appendField(w.out, name, value)
			}
		}
	}
	if !w.fields.kind {
		_, named := w.header["Content-Type"] // without a value: net/http's way to prevent guessing
		w.fields.kind = named
	}
}

// seenNames are the names that see acts on.
var seenNames = field.SetOf(field.Date, field.Trailer, field.Connection, field.ContentType, field.ContentEncoding, field.TransferEncoding)

// see records what a field says, and reports whether it is sent as it is. Other spellings of a name have no effect.
func (w *response) see(known field.Known, value string) bool {
	switch known {
	case field.Date:
		w.fields.date = true
	case field.Trailer:
		w.fields.chunks = true
		return hasContent(w.status)
	case field.Connection:
		var says marks
		if says.connects(value); says.close {
			w.ends, w.fields.closes = true, true
			return false
		}
		w.fields.connection = true
	case field.ContentType:
		w.fields.kind = true
		return w.status != http.StatusNotModified
	case field.ContentLength:
		w.declare(value)
		return false
	case field.ContentEncoding:
		w.fields.encoded = true
	case field.TransferEncoding:
		w.fields.chunks = true
		return false
	default:
	}
	return true
}

// declare records the length of the content that the handler declares, and reports whether it is valid.
func (w *response) declare(value string) bool {
	n, reason := parseLength([]byte(value))
	if reason != OK {
		w.conn.server.options.Log.Debug("a handler has said a length that is none", "length", value)
		return false
	}
	w.declared = n
	return true
}

// guesses reports whether the Content-Type is found from the first bytes, as net/http does for handlers that know
// net/http.
func (w *response) guesses() bool {
	return !w.conn.server.options.Lines && !w.fields.kind && !w.fields.encoded
}

// frame completes the head, in front of content that was written already; mostly there is none. done says that this is
// all of the content.
func (w *response) frame(done bool) {
	w.framed = true
	content := w.out[w.content:]
	if len(content) == 0 {
		w.out = w.appendEnd(w.out, content, done)
		return
	}
	end := w.appendEnd(make([]byte, 0, usualEnd), content, done)
	switch {
	case w.isHead:
		w.out = append(w.out[:w.content], end...)
	case w.chunked:
		end = append(strconv.AppendInt(end, int64(len(content)), 16), "\r\n"...)
		w.out = append(slices.Insert(w.out, w.content, end...), "\r\n"...)
	default:
		w.out = slices.Insert(w.out, w.content, end...)
	}
}

// usualEnd is room for what appendEnd appends.
const usualEnd = 192

// appendEnd appends the end of the head: how the content ends, and whether the connection does.
func (w *response) appendEnd(out, content []byte, done bool) []byte {
	if hasContent(w.status) {
		if len(content) > 0 && w.guesses() {
			out = appendField(out, "Content-Type", http.DetectContentType(content))
		}
		out = w.appendFraming(out, done)
	}
	if !w.fields.date {
		out = w.conn.server.appendDate(out)
	}
	if body := w.turn.body; body != nil && body.willNotCome() {
		w.ends = true
	}
	switch {
	case w.ends && (!w.old || w.fields.closes):
		out = append(out, "Connection: close\r\n"...)
	case w.old && w.keeps && !w.ends && !w.fields.connection:
		out = append(out, "Connection: keep-alive\r\n"...)
	}
	return append(out, "\r\n"...)
}

func (w *response) appendFraming(f []byte, done bool) []byte {
	chunks := w.fields.chunks || done && !w.old && w.hasTrailers()
	switch {
	case w.declared >= 0:
	case done && !w.isHead && !chunks:
		w.declared = w.written
	case done && w.written > 0 && w.isHead && !chunks:
		w.declared = w.written
	case w.isHead:
		return f
	case w.old:
		w.ends = true
		return f
	default:
		w.chunked = true
		return append(f, "Transfer-Encoding: chunked\r\n"...)
	}
	if w.length != "" {
		return append(f, w.length...)
	}
	f = append(f, "Content-Length: "...)
	return append(strconv.AppendInt(f, w.declared, 10), "\r\n"...)
}

// hasTrailers reports whether the handler has set trailers under http.TrailerPrefix. Announced ones make the response
// chunked when its head is written (fields.chunks).
func (w *response) hasTrailers() bool {
	for name := range exchange.MapHead(w.header).All() {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// Write writes content.
func (w *response) Write(p []byte) (int, error) { return w.write(p, "") }

// WriteString writes content.
func (w *response) WriteString(s string) (int, error) { return w.write(nil, s) }

func (w *response) write(p []byte, s string) (int, error) {
	n := len(p) + len(s)
	if err := w.mayWrite(n); err != nil || n == 0 {
		return 0, err
	}
	w.written += int64(n)
	if w.isHead {
		if !w.framed && w.guesses() {
			w.out = append(w.out, p[:min(len(p), sniffBytes)]...)
			w.out = append(w.out, s[:min(len(s), sniffBytes)]...)
		}
		return n, nil
	}
	if len(w.out)+n+chunkRoom <= cap(w.out) {
		if !w.framed {
			w.out = append(append(w.out, p...), s...)
			return n, nil
		}
		w.out = w.appendPiece(w.out, p, s)
		return n, nil
	}
	if !w.framed {
		w.frame(false)
	}
	if len(s) > 0 {
		p = []byte(s)
	}
	if err := w.writeLarge(p); err != nil {
		return 0, err
	}
	return n, nil
}

// mayWrite returns why n more bytes of content may not be written, nil if they may.
func (w *response) mayWrite(n int) error {
	if w.hijacked {
		return http.ErrHijacked
	}
	if w.given {
		return http.ErrHandlerTimeout
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case n > 0 && !hasContent(w.status):
		return http.ErrBodyNotAllowed
	case w.declared >= 0 && w.written+int64(n) > w.declared:
		w.written += int64(n) // it stays too much
		return http.ErrContentLength
	}
	return w.err
}

// appendPiece appends content, as a chunk if the response is chunked.
func (w *response) appendPiece(out, p []byte, s string) []byte {
	if w.chunked {
		out = append(strconv.AppendInt(out, int64(len(p)+len(s)), 16), "\r\n"...)
	}
	out = append(append(out, p...), s...)
	if w.chunked {
		out = append(out, "\r\n"...)
	}
	return out
}

var largeRooms = sync.Pool{New: func() any { return new([pieceBytes]byte) }}

// writeLarge sends content that does not fit into out, together with what is in out, in as few pieces as possible.
func (w *response) writeLarge(p []byte) error {
	if len(w.out) > outBytes { // a head with very long fields
		if err := w.send(); err != nil {
			return err
		}
	}
	if !w.chunked && len(w.out)+len(p) <= mostBacklog && w.canWriteAtOnce() {
		err := w.sendSome(w.out, p)
		w.out = w.out[:0]
		return err
	}
	for len(p) > 0 {
		if len(w.out) == 0 && !w.chunked {
			return w.sendSome(p, nil)
		}
		n, err := w.sendPiece(p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// sendPiece sends what is in out with as much of p as fits, and returns how much of p that was.
func (w *response) sendPiece(p []byte) (int, error) {
	room, _ := largeRooms.Get().(*[pieceBytes]byte)
	defer largeRooms.Put(room)
	piece := room[:copy(room[:], w.out)]
	w.out = w.out[:0]
	n := min(len(p), cap(piece)-len(piece)-chunkRoom)
	return n, w.sendSome(w.appendPiece(piece, p[:n], ""), nil)
}

// writesAtOnce is a connection that can send as much of p, and then of more, as goes without waiting, and return how
// much that was.
type writesAtOnce interface{ WriteAtOnce(p, more []byte) int }

func (w *response) canWriteAtOnce() bool {
	_, can := w.conn.net.(writesAtOnce)
	return can
}

// sendSome sends as much of p, and of more behind it, as the client takes at once, if the connection can tell how much
// that is. It keeps a copy of the rest for whatever is sent next, so that no goroutine waits while it holds a large
// piece.
func (w *response) sendSome(p, more []byte) error {
	some, can := w.conn.net.(writesAtOnce)
	if !can || len(p)+len(more) > mostBacklog {
		return w.sendAll(p) // more is empty then
	}
	if err := w.catchUp(); err != nil {
		return err
	}
	switch n := some.WriteAtOnce(p, more); {
	case n < len(p):
		w.backlog = holdBack(p[n:], more)
	case n < len(p)+len(more):
		w.backlog = holdBack(nil, more[n-len(p):])
	}
	return nil
}

// send sends what is in out.
func (w *response) send() error {
	if len(w.out) == 0 {
		return w.catchUp()
	}
	err := w.sendAll(w.out)
	w.out = w.out[:0]
	return err
}

func (w *response) sendAll(p []byte) error {
	if err := w.catchUp(); err != nil {
		return err
	}
	return w.put(p)
}

// catchUp sends what the client did not take before.
func (w *response) catchUp() error {
	if l := w.backlog; l != nil {
		w.backlog = nil
		defer l.give()
		return w.put(l.b)
	}
	return w.err
}

func (w *response) put(p []byte) error {
	if w.err != nil {
		return w.err
	}
	if _, err := w.conn.net.Write(p); err != nil {
		w.err = err
		w.conn.leave()
	}
	return w.err
}

// ReadFrom sends a file with the connection's own ReadFrom, by which the system copies it, if the length is known.
func (w *response) ReadFrom(src io.Reader) (int64, error) {
	fast, ok := w.conn.net.(io.ReaderFrom)
	size := fileBytes(src)
	if !ok || size < outBytes || w.conn.tls != nil || w.isHead {
		return io.Copy(struct{ io.Writer }{w}, src)
	}
	if err := w.mayWrite(0); err != nil {
		return 0, err
	}
	if w.declared < 0 || w.written+size > w.declared || !hasContent(w.status) || w.guesses() {
		return io.Copy(struct{ io.Writer }{w}, src)
	}
	if err := w.send(); err != nil {
		return 0, err
	}
	n, err := fast.ReadFrom(src)
	w.written += n
	if err != nil {
		w.err = err
		w.conn.leave()
	}
	return n, err //nolint:wrapcheck // as net.TCPConn's
}

// fileBytes returns how much of a file is to be read, if src is a part of one, and 0 otherwise.
func fileBytes(src io.Reader) int64 {
	limited, ok := src.(*io.LimitedReader)
	if !ok {
		return 0
	}
	if _, ok := limited.R.(*os.File); !ok {
		return 0
	}
	return limited.N
}

// Flush sends what was written.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError sends what was written.
func (w *response) FlushError() error {
	if err := w.mayWrite(0); err != nil {
		return err
	}
	if !w.framed {
		w.frame(false)
	}
	return w.send()
}

// isPlain reports whether all that is left of the response is in out, and the connection goes on after it.
func (w *response) isPlain() bool {
	return !w.ends && w.err == nil && w.backlog == nil && len(w.out) > 0
}

// finish completes the response. The rest of it is then in out.
func (w *response) finish() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.framed {
		w.frame(true)
	}
	switch {
	case w.chunked:
		w.out = append(w.out, "0\r\n"...)
		w.appendTrailers()
		w.out = append(w.out, "\r\n"...)
	case hasContent(w.status) && !w.isHead && w.declared >= 0 && w.declared != w.written:
		w.ends = true // the client sees that content is missing
	}
}

// appendTrailers writes the fields that come after the content: those that were announced in Trailer, and those that
// begin with http.TrailerPrefix.
func (w *response) appendTrailers() {
	head := exchange.MapHead(w.header)
	if !w.conn.server.options.Lines && w.fields.chunks {
		for _, names := range head.Values("Trailer") {
			for name := range strings.SplitSeq(names, ",") {
				w.appendTrailer(strings.TrimSpace(name), head.Values(strings.TrimSpace(name)))
			}
		}
	}
	for name, value := range head.All() {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			w.appendTrailer(name, []string{value})
		}
	}
}

func (w *response) appendTrailer(name string, values []string) {
	if len(name) > 0 && mayTrail([]byte(name)) {
		for _, value := range values {
			w.out = appendField(w.out, name, value)
		}
	}
}

// give ends the use of the writer: a handler that has kept it can write nothing any more.
func (w *response) give() {
	w.given = true
	w.mu.Lock()
	w.mayContinue = false
	w.mu.Unlock()
}

// Hijack hands the connection over to the handler, with what was received and not read yet.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.hijacked {
		return nil, nil, http.ErrHijacked
	}
	if w.status != 0 {
		if err := w.FlushError(); err != nil {
			return nil, nil, err
		}
	}
	c, t := w.conn, w.turn
	if c.endBody(t) == tooMuch && c.Fault() != nil {
		return nil, nil, errors.New("the content of the request is broken")
	}
	c.unwatch(t)
	w.hijacked = true
	c.expect(nothing, 0)
	c.server.forget(c)
	c.mu.Lock()
	c.interrupted, c.outer = 0, time.Time{}
	c.mu.Unlock()
	if err := c.net.SetDeadline(time.Time{}); err != nil {
		return nil, nil, errors.Join(err, c.net.Close())
	}
	if tell := c.server.options.Hijacked; tell != nil {
		tell(c.net)
	}
	early := bytes.Clone(t.in.b)
	in := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(early), c.net), max(inBytes, len(early)))
	if len(early) > 0 {
		_, _ = in.Peek(len(early)) // so that Buffered counts it
	}
	t.in, t.out, w.out, t.gather = inlet{}, nil, nil, nil // the connection may last for hours
	return c.net, bufio.NewReadWriter(in, bufio.NewWriter(c.net)), nil
}

// SetReadDeadline bounds reading the content of the request. The deadline ends with the response.
func (w *response) SetReadDeadline(t time.Time) error { return w.conn.setReadDeadline(t) }

// SetWriteDeadline bounds writing. The deadline ends with the response.
func (w *response) SetWriteDeadline(t time.Time) error { return w.conn.setWriteDeadline(t) }

// EnableFullDuplex does nothing: content is never read before the handler asks for it.
func (w *response) EnableFullDuplex() error { return nil }
