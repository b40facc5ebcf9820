package kubernetes

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// answering gives each request the same body.
type answering string

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{Body: io.NopCloser(strings.NewReader(string(a)))}, nil
}

func TestListsAreBoundedAndWatchesAreNot(t *testing.T) {
	for url, most := range map[string]int64{"/api/v1/services": 9, "/api/v1/services?watch=true": 9, "/api/v1/services?limit=500": 10} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://10.0.0.1"+url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := bounded{answering("0123456789"), most}.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		large := errors.Is(err, errTooLarge)
		if want := most < 10 && !strings.Contains(url, "watch"); large != want || !large && string(got) != "0123456789" {
			t.Errorf("%s of at most %d bytes: %q, %v", url, most, got, err)
		}
	}
}
