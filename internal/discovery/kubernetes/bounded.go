package kubernetes

import (
	"fmt"
	"io"
	"net/http"
)

// largestList limits the size of one list. The list of 20,000 endpoints has 10 MB.
const largestList = 256 << 20

// bounded makes an answer that is not a watch fail if it is larger than most, because client-go reads it whole.
type bounded struct {
	http.RoundTripper

	most int64
}

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(req)
	if err == nil && req.URL.Query().Get("watch") == "" {
		res.Body = &boundedBody{res.Body, b.most}
	}
	return res, err
}

// WrappedRoundTripper lets client-go find the transport whose idle connections it closes.
func (b bounded) WrappedRoundTripper() http.RoundTripper { return b.RoundTripper }

// boundedBody fails after left bytes.
type boundedBody struct {
	io.ReadCloser

	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLarge
	}
	return n, err //nolint:wrapcheck // the body's own
}

var errTooLarge = fmt.Errorf("the list has more than %d MiB", largestList>>20)
