package pace_test

import (
	"math"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/wire/pace"
)

func TestPace(t *testing.T) {
	const rate = 100
	type wait struct {
		d time.Duration
		n int64
	}
	for name, test := range map[string]struct {
		waits []wait
		want  time.Duration
	}{
		"at the start":                         {nil, pace.Grace},
		"it sends nothing":                     {[]wait{{2 * time.Second, 0}, {4 * time.Second, 0}}, -time.Second},
		"it keeps its rate":                    {[]wait{{10 * time.Second, 1000}, {10 * time.Second, 1000}}, pace.Grace},
		"half its rate":                        {[]wait{{4 * time.Second, 200}, {4 * time.Second, 200}}, time.Second},
		"what it sent before pays for a pause": {[]wait{{0, 3000}, {30 * time.Second, 0}}, pace.Grace},
		"but not for any":                      {[]wait{{0, math.MaxInt64}, {pace.Credit, 0}, {pace.Grace, 0}}, 0},
		"credit is not earned twice":           {[]wait{{0, 1 << 40}, {0, 1 << 40}, {pace.Credit + time.Second, 0}}, pace.Grace - time.Second},
		"a long wait for many bytes":           {[]wait{{time.Hour, 3600 * rate}}, pace.Grace},
	} {
		t.Run(name, func(t *testing.T) {
			var p pace.Pace
			for _, w := range test.waits {
				p.Waited(w.d, w.n, rate)
			}
			if got := p.Left(); got != test.want {
				t.Errorf("left %v, want %v", got, test.want)
			}
		})
	}
}
