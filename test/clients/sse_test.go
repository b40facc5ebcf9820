package clients_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
)

// An event arrives when it happens: the backend sends the next one only after the client has confirmed the last one
// on another connection.
func TestServerSentEventsArriveOneByOne(t *testing.T) {
	seen, gone := make(chan struct{}), make(chan struct{}, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := 0; ; i++ {
			_, _ = fmt.Fprintf(w, "data: event %d\n\n", i) // if the client has left, the context ends
			_ = http.NewResponseController(w).Flush()      // as above
			select {
			case <-seen:
			case <-r.Context().Done():
				gone <- struct{}{}
				return
			}
		}
	})
	mux.HandleFunc("POST /seen", func(w http.ResponseWriter, r *http.Request) {
		select {
		case seen <- struct{}{}:
			w.WriteHeader(http.StatusNoContent)
		case <-r.Context().Done():
		}
	})
	eachProtocol(t, mux, func(t *testing.T, client *http.Client, url string) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		res, err := client.Do(newRequest(t, http.MethodGet, url+"/events", nil).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		for i := range 10 {
			want := fmt.Sprintf("data: event %d", i)
			if !lines.Scan() || lines.Text() != want || !lines.Scan() || lines.Text() != "" {
				t.Fatalf("got %q, %v, want %q", lines.Text(), lines.Err(), want)
			}
			if i < 9 {
				if res, _ := send(t, client, newRequest(t, http.MethodPost, url+"/seen", nil)); res.StatusCode != http.StatusNoContent {
					t.Fatalf("seen: %s", res.Status)
				}
			}
		}
		cancel()
		await.From(t, "the cancel at the backend", gone)
	})
}
