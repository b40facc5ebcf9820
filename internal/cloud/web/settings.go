package web

import (
	"cmp"
	"fmt"
	"reflect"
	"time"

	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Settings are what a config says under `clouds` about a platform whose functions are called over HTTP. They apply to
// all of its functions together.
type Settings struct {
	Concurrency int           `doc:"concurrency,omitzero" help:"concurrent calls of all functions that count together; no limit by default" example:"500"`
	Queue       int           `doc:"queue" help:"calls that may wait for a running one to end" example:"1000"`
	Wait        time.Duration `doc:"wait" help:"how long a call may wait" example:"5s"`
}

// The defaults, and the limits of sensible values.
const (
	DefaultQueue = 1000
	DefaultWait  = 5 * time.Second
	MostAtOnce   = 100_000
	MostInQueue  = 1_000_000
	mostWait     = 5 * time.Minute
)

// Kind is the element of `clouds` with that name.
func Kind(name, summary string) config.Kind {
	return config.Kind{Name: name, Summary: summary, New: func() any { s := defaultSettings(); return &s }}
}

func defaultSettings() Settings { return Settings{Queue: DefaultQueue, Wait: DefaultWait} }

// SettingsOf finds the settings of a platform among those of all platforms (config.Clouded).
func SettingsOf(name string, of func(kind string) any) Settings {
	if s, ok := of(name).(*Settings); ok {
		return *s
	}
	return defaultSettings()
}

// Pool returns the bounds of the functions that are counted together.
func (s Settings) Pool() cloud.PoolBounds {
	return cloud.PoolBounds{Max: cmp.Or(s.Concurrency, MostAtOnce), Size: s.Queue, Wait: cmp.Or(s.Wait, DefaultWait)}
}

// DecodeDoc reads the settings and checks them.
func (s *Settings) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Settings
	doc.Decode(n, (*long)(s), ps)
	wrong := func(key, example, format string, args ...any) {
		if at := n.Get(key); at != nil {
			ps.Add(doc.Problem{Pos: at.Pos, What: key + ": " + fmt.Sprintf(format, args...), Fix: fmt.Sprintf("for example `%s: %s`", key, example)})
		}
	}
	if s.Concurrency < 1 || s.Concurrency > MostAtOnce {
		wrong("concurrency", "500", "%d is not from 1 to %d", s.Concurrency, MostAtOnce)
	}
	if s.Queue < 0 || s.Queue > MostInQueue {
		wrong("queue", "1000", "%d is not from 0 to %d", s.Queue, MostInQueue)
	}
	if s.Wait <= 0 || s.Wait > mostWait {
		wrong("wait", "5s", "%v is not from more than nothing to %v", s.Wait, mostWait)
	}
}

// DocSchema implements doc.SchemaWriter.
func (Settings) DocSchema() *doc.Schema {
	type long Settings
	return doc.SchemaOf(reflect.TypeFor[long]())
}

// Together identifies functions that are counted together: those of an account in a region. Either may be unknown.
type Together struct{ Account, Region string }

// Pools are the pools of a platform. The zero value has none; it is safe for concurrent use.
type Pools struct {
	all cloud.Shared[Together, *cloud.Pool]
}

// Use returns the pool of the functions that of identifies, which may be used until leave is called.
func (p *Pools) Use(of Together, bounds cloud.PoolBounds) (pool *cloud.Pool, leave func()) {
	pool = p.all.Use(of, func() (*cloud.Pool, func()) { return cloud.NewPool(bounds), nil })
	return pool, func() { p.all.Leave(of) }
}
