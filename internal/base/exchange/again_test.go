package exchange_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

func TestPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n, d := range map[int]time.Duration{1: 25 * time.Millisecond, 2: 50 * time.Millisecond, 4: 200 * time.Millisecond, 5: 250 * time.Millisecond, 1000: 250 * time.Millisecond} {
			begun := time.Now()
			if err := exchange.Pause(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took < d/2 || took > d*3/2 {
				t.Errorf("the pause after %d tries is %v, not about %v", n, took, d)
			}
		}
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		if err := exchange.Pause(ctx, 1); !errors.Is(err, why) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestWhatIsDiscardedIsReadWhereItIsShort(t *testing.T) {
	for _, c := range []struct{ length, read int }{{10, 10}, {4096, 4096}, {4097, 0}, {-1, 0}} {
		text := strings.NewReader(strings.Repeat("x", max(c.length, 5)))
		had := text.Len()
		exchange.Discard(&http.Response{ContentLength: int64(c.length), Body: io.NopCloser(text)})
		if read := had - text.Len(); read != c.read {
			t.Errorf("of %d bytes %d were read, not %d", c.length, read, c.read)
		}
	}
}
