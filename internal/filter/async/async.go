package async

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/weir-gateway/weir/internal/base/keep"
	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/filter"
)

// Definition is this kind of filter.
func Definition() filter.Definition {
	return filter.Define("async", "takes requests, and sends them later", filter.StageAsync, usual, build)
}

func build(env filter.Env, c *Config) (filter.Policy, error) {
	q, err := queueOf(env)
	if err != nil {
		return filter.Policy{}, err
	}
	a := &async{
		config: *c, queue: q, place: queue.Place{Kind: filter.RouteLane, Lane: env.Route}, log: env.Log,
		taken: env.Meter.Counter("weir_jobs_taken_total", "Requests that were taken to be sent later."),
		path:  pathOf(env.Route),
	}
	if err := a.follows(env); err != nil {
		return filter.Policy{}, err
	}
	a.later = &filter.Later{
		Path: a.path + "{" + jobParam + "}", Status: status{a}, Takes: a.takes, Recall: a.recall, Run: a.run,
		Lane: queue.Lane{
			Concurrency: c.Concurrency, Retry: queue.Retry{Times: c.Retry.Times, First: c.Retry.First, Most: c.Retry.Most}, Ended: a.ended,
		},
	}
	return filter.Policy{Adapt: a.adapt, Later: a.later, Note: c.note()}, nil
}

// queueOf returns the queue, nil if the config is only checked.
func queueOf(env filter.Env) (*queue.Queue, error) {
	if env.Queue == nil {
		return nil, nil
	}
	q, err := env.Queue()
	if err != nil {
		return nil, fmt.Errorf("%w; what is not kept on disk cannot be promised with 202: name a folder that can be written with --state", err)
	}
	return q, nil
}

// note describes the config in a few words.
func (c *Config) note() string {
	which := "all"
	if c.Asked {
		which = "those that prefer it"
	}
	return fmt.Sprintf("%s; %d further tries within %s", which, c.Retry.Times, c.Age)
}

// async is a Config ready to run. It is immutable once the route is made.
type async struct {
	config Config
	queue  *queue.Queue
	place  queue.Place
	later  *filter.Later
	next   http.RoundTripper // the actual backend
	path   string            // prefix of the route's job addresses
	log    *slog.Logger
	taken  *telemetry.Counter
	hooks  *hooks            // nil: there are no callbacks
	mourns http.RoundTripper // nil: dead letters are sent nowhere
}

// adapt is called once, while the route is made.
func (a *async) adapt(next http.RoundTripper) http.RoundTripper {
	a.next = next
	return a
}

const (
	// jobsPath is the prefix of all jobs' paths.
	jobsPath = "/.weir/jobs/"
	jobParam = "job"
)

// pathOf returns the prefix of the paths of a route's jobs. It is unique to the route, and stays the same as long as
// the route keeps its name.
func pathOf(route string) string {
	sum := sha256.Sum256([]byte(route))
	return jobsPath + hex.EncodeToString(sum[:6]) + "/"
}

// follows sets up what notifies others of the ends of jobs.
func (a *async) follows(env filter.Env) error {
	var err error
	if a.config.Callback != nil {
		if _, err := a.config.Callback.bounds(env.Bounds); err != nil {
			return fmt.Errorf("callback.%w", err)
		}
		a.hooks, err = keep.In(env.Keep, a.config.Callback.identity(env), func() (*hooks, func(context.Context), error) {
			h, err := newHooks(env, a.config.Callback)
			return h, h.close, err
		})
		if err != nil {
			return fmt.Errorf("callback.%w", err)
		}
	}
	if a.config.Dead != nil {
		if a.mourns, err = env.Backend(a.config.Dead.Ref); err != nil {
			return fmt.Errorf("dead: %w", err)
		}
	}
	return nil
}
