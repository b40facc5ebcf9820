package local

import (
	"time"

	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// meter receives the pool's events, and adds what the pool does not know.
type meter struct {
	*telemetry.Function

	memory doc.Size // of one instance, as configured
}

// Worked records how long an instance was busy.
func (m *meter) Worked(d time.Duration) { m.Function.Worked(d, int64(m.memory)) }
