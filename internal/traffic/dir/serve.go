package dir

import (
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// serve answers with f, and closes it when the response's body is closed.
func serve(r *http.Request, f *os.File, info fs.FileInfo) *http.Response {
	request := exchange.RequestHead(r)
	if strings.Contains(request.Get("Range"), ",") {
		request.Del("Range") // a list of ranges may be ignored (RFC 9110 section 14.2), and no client needs one
	}
	w := &recorder{head: http.Header{
		"Content-Type":           {mediaType(info.Name())},
		"Etag":                   {entityTag(info)},
		"X-Content-Type-Options": {"nosniff"},
	}}
	exchange.Plain(r) // ServeContent looks into the map
	http.ServeContent(w, r, info.Name(), info.ModTime(), f)
	if w.content == nil {
		_ = f.Close() // it was only read
		return w.empty(r)
	}
	length, _ := strconv.ParseInt(w.head.Get("Content-Length"), 10, 64) // ServeContent always sets it when there is content
	return response(r, w.status, w.head, &body{content: w.content, left: length, file: f}, length)
}

// entityTag returns a strong validator: file systems keep times finely enough.
func entityTag(info fs.FileInfo) string {
	return `"` + strconv.FormatInt(info.ModTime().UnixNano(), 36) + "-" + strconv.FormatInt(info.Size(), 36) + `"`
}

// recorder is the writer that ServeContent writes to. It records head and status and, instead of copying the content,
// keeps the reader of the content.
type recorder struct {
	head    http.Header
	status  int
	content io.Reader
}

func (w *recorder) Header() http.Header { return w.head }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write drops the texts of ServeContent's errors.
func (w *recorder) Write(p []byte) (int, error) { return len(p), nil }

// ReadFrom is how io.CopyN hands over the content; nothing is read yet.
func (w *recorder) ReadFrom(content io.Reader) (int64, error) {
	w.content = content
	return 0, nil
}

// empty returns the response without content: to HEAD, 304, 412 and 416.
func (w *recorder) empty(r *http.Request) *http.Response {
	if w.status >= http.StatusBadRequest {
		w.head.Del("Content-Type")
		w.head.Del("Content-Length")
	}
	length, err := strconv.ParseInt(w.head.Get("Content-Length"), 10, 64)
	if err != nil {
		length = 0
	}
	return response(r, w.status, w.head, http.NoBody, length)
}

func response(r *http.Request, status int, head http.Header, content io.ReadCloser, length int64) *http.Response {
	return &http.Response{
		Status:        strconv.Itoa(status) + " " + http.StatusText(status),
		StatusCode:    status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        head,
		Body:          content,
		ContentLength: length,
		Request:       r,
	}
}

// body streams a file, or a range of it. A file that was truncated meanwhile is an error, because its length has been
// promised.
type body struct {
	content io.Reader
	left    int64
	file    *os.File
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.content.Read(p)
	b.left -= int64(n)
	if err == io.EOF && b.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// WriteTo lets the kernel copy the file if w supports that.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	n, err := io.Copy(w, b.content)
	b.left -= n
	if err == nil && b.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (b *body) Close() error { return b.file.Close() }
