package exchange_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

func TestReadBody(t *testing.T) {
	lost := errors.New("the connection is lost")
	for name, test := range map[string]struct {
		body   io.Reader
		length int64
		want   string
		err    error
	}{
		"none":                       {http.NoBody, 0, "", nil},
		"one":                        {strings.NewReader("12345678"), 8, "12345678", nil},
		"in chunks":                  {iotest.OneByteReader(strings.NewReader("12345678")), -1, "12345678", nil},
		"too long by its head":       {iotest.ErrReader(errors.New("it is read")), 9, "", exchange.ErrTooLong},
		"too long":                   {strings.NewReader("123456789a"), -1, "123456789", exchange.ErrTooLong},
		"lost":                       {io.MultiReader(strings.NewReader("123"), iotest.ErrReader(lost)), 8, "123", lost},
		"shorter than its head says": {strings.NewReader("123"), 8, "123", nil}, // who reads from a connection knows better
	} {
		t.Run(name, func(t *testing.T) {
			r := &http.Request{Body: io.NopCloser(test.body), ContentLength: test.length}
			if test.body == http.NoBody {
				r.Body = http.NoBody
			}
			if got, err := exchange.ReadBody(r, 8); string(got) != test.want || !errors.Is(err, test.err) {
				t.Errorf("got %q, %v; want %q, %v", got, err, test.want, test.err)
			}
		})
	}
	if got, err := exchange.ReadBody(&http.Request{}, 8); got != nil || err != nil {
		t.Errorf("without a body got %q, %v", got, err)
	}
}
