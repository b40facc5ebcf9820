package lambdaapi_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/function"
)

// The memory for all bodies together is bounded, whoever sends them. A call that has been answered makes room.
func TestBodiesAreBoundedInSum(t *testing.T) {
	const size = 6 << 20
	release, held := make(chan struct{}), make(chan struct{}, 10)
	w := serve(t, func(_ *http.Request, i function.Invocation) (function.Answer, error) {
		held <- struct{}{}
		<-release
		return function.Answer{Payload: []byte("1")}, nil
	})
	payload := `"` + strings.Repeat("x", size-2) + `"`
	var calls sync.WaitGroup
	for range 10 {
		calls.Go(func() {
			if got := w.ask(t, "POST", invoke, payload, unchanged); got.Code != 200 {
				t.Errorf("got %d %s", got.Code, got.Body)
			}
		})
		await.From(t, "it is under way", held) // one after the other: all at once they would take a busy machine half a minute to read
	}
	got := w.ask(t, "POST", invoke, payload, func(r *http.Request) { r.ContentLength, r.Body = -1, io.NopCloser(r.Body) })
	if got.Code != 429 || got.Header().Get("X-Amzn-Errortype") != "TooManyRequestsException" || got.Header().Get("Retry-After") == "" {
		t.Errorf("one too many got %d %s %v", got.Code, got.Body, got.Header())
	}
	small := make(chan int)
	go func() { small <- w.ask(t, "POST", invoke, "{}", unchanged).Code }()
	await.From(t, "a small one passes beside them", held)
	close(release)
	if code := await.From(t, "it is answered", small); code != 200 {
		t.Errorf("got %d", code)
	}
	calls.Wait()
	if got := w.ask(t, "POST", invoke, payload, unchanged); got.Code != 200 {
		t.Errorf("afterwards got %d %s", got.Code, got.Body)
	}
}
