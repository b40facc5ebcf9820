package listen_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/weir-gateway/weir/internal/wire/http1/http1test"
	"github.com/weir-gateway/weir/internal/wire/listen"
)

// recorder remembers the requests that it read whole.
type recorder struct {
	mu   sync.Mutex
	seen []string
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.seen = append(rec.seen, r.Method+" "+r.RequestURI+" "+r.Host+" "+string(body))
}

func (rec *recorder) take() []string {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	seen := rec.seen
	rec.seen = nil
	return seen
}

// TestCorpusReachesTheHandlerOnlyInOneReading sends every published payload to a real server. The handler sees the
// requests that a plain reading of the payload finds, up to the first that is malformed or not kept alive, and
// nothing else.
func TestCorpusReachesTheHandlerOnlyInOneReading(t *testing.T) {
	rec := &recorder{}
	address := start(t, listen.Options{Handler: rec})
	for _, c := range http1test.Corpus(t, "../http1/testdata") {
		t.Run(c.Name, func(t *testing.T) {
			conn := dial(t, address)
			send(t, conn, string(c.Raw()))
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			statuses := responses(t, conn)
			seen := rec.take()
			var want []string
			requests, rest, err := http1test.Read(c.Raw())
			for _, q := range requests {
				want = append(want, q.Method+" "+q.Target+" "+q.Host+" "+string(http1test.Bytes(q.Body)))
			}
			if len(seen) > len(want) || !slices.Equal(seen, want[:len(seen)]) {
				t.Errorf("the handler saw %q, want %q", seen, want)
			}
			if len(want) > 0 && len(seen) == 0 {
				t.Errorf("the handler saw nothing of %q", want)
			}
			last := len(statuses) - 1
			if c.Expect == "reject" && (len(seen) > 0 || last < 0 || statuses[last] < 400) {
				t.Errorf("%s: the handler saw %q and the client %v, want a refusal", c.Why, seen, statuses)
			}
			if errors.Is(err, http1test.ErrMalformed) && bytes.Contains(rest, []byte("\r\n\r\n")) && len(seen) == len(want) && (last < 0 || statuses[last] < 400) &&
				(len(requests) == 0 || !requests[len(requests)-1].Closes()) {
				t.Errorf("%s: the client got %v, want a refusal at the end", c.Why, statuses)
			}
		})
	}
}

func responses(t *testing.T, conn io.Reader) []int {
	t.Helper()
	var statuses []int
	r := bufio.NewReader(conn)
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return statuses
		}
		statuses = append(statuses, res.StatusCode)
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
}
