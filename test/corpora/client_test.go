package corpora_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/wire/http1/http1test"
)

// visit is one payload on a connection of its own, and its result.
type visit struct {
	http1test.Case

	piece int // how many bytes are sent at a time; 0: all

	want  []http1test.Request // what a strict reading finds in the payload
	rest  []byte              // what follows those requests
	cause error               // why no further request follows: see http1test.Read

	statuses []int // final answers, in order
	seen     []int // the recorder's numbers of the requests that it answered
	hung     bool  // an answer or the end did not arrive
}

func newVisit(c http1test.Case) *visit {
	v := &visit{Case: c}
	v.want, v.rest, v.cause = http1test.Read(c.Raw())
	return v
}

// answers returns how many answers are due before the client ends its side: one for each request up to the one that
// ends the connection, and a refusal for anything that is not a request.
func (v *visit) answers() int {
	if i := slices.IndexFunc(v.want, func(q http1test.Request) bool { return q.Closes() }); i >= 0 {
		return i + 1
	}
	if errors.Is(v.cause, http1test.ErrMalformed) && bytes.Contains(v.rest, []byte("\r\n\r\n")) {
		return len(v.want) + 1
	}
	return len(v.want)
}

// pay sends the payload and reads all answers. It ends its own side as soon as all due answers have arrived. Before
// that, a gateway might take the client for one that left.
func (v *visit) pay(t *testing.T, address string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Errorf("%s: %v", v.Name, err)
		return
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(await.Patience)); err != nil {
		t.Error(err)
	}
	v.send(conn)
	r := bufio.NewReader(conn)
	for ended := false; ; {
		if !ended && len(v.statuses) >= v.answers() {
			ended = true
			_ = conn.(*net.TCPConn).CloseWrite() // it may be closed already
		}
		if err := v.receive(r); err != nil {
			var timeout net.Error
			v.hung = errors.As(err, &timeout) && timeout.Timeout()
			return
		}
	}
}

// send writes the payload. A gateway may refuse before it has read all of it, so a write error is not a failure: the
// answers until then count.
func (v *visit) send(w io.Writer) {
	raw := v.Raw()
	if v.piece == 0 {
		v.piece = len(raw)
	}
	for piece := range slices.Chunk(raw, v.piece) {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}

// receive reads one answer, and any informational responses before it.
func (v *visit) receive(r *bufio.Reader) error {
	method := http.MethodGet
	if i := len(v.statuses); i < len(v.want) {
		method = v.want[i].Method
	}
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode < http.StatusOK {
		return nil
	}
	v.statuses = append(v.statuses, res.StatusCode)
	if number, err := strconv.Atoi(res.Header.Get(seenField)); err == nil {
		v.seen = append(v.seen, number)
	}
	return nil
}
