package app

import (
	"math"
	"os"
	"runtime/debug"
	"sync/atomic"

	"github.com/weir-gateway/weir/internal/wire/listen"
)

// memory guards the process's memory by the limit of the config that serves. The zero value guards nothing.
type memory struct {
	limit int64 // of the guard; used by follow only
	guard atomic.Pointer[listen.Memory]
}

// follow applies the limit of a config, in bytes; 0: what the cgroup allows. It is called by one goroutine at a time.
func (m *memory) follow(limit int64) {
	if m.guard.Load() != nil && m.limit == limit {
		return
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(math.MaxInt64) // the previous guard may have set one that no longer applies
	}
	m.limit = limit
	m.guard.Store(listen.NewMemory(limit))
}

// exhausted reports whether a new request should be refused.
func (m *memory) exhausted() bool {
	guard := m.guard.Load()
	return guard != nil && guard.Exhausted()
}
