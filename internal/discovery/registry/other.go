package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
	"github.com/weir-gateway/weir/internal/base/egress"
	base "github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/discovery/registry/remote"
)

// other is the registry of another process. One watch serves all services, and continues from the last revision when it
// breaks. A registry that was restarted hears from its instances little by little: until it reports that it is settled
// no instance is considered gone.
type other struct {
	client *remote.Client
	name   string
	bounds *egress.Bounds
	log    *slog.Logger
	used   discovery.Used // runs watch

	mu       sync.Mutex
	users    map[*otherProvider]struct{}
	services map[string]map[string]known // by service and id
	next     map[string]map[string]known // the new full state while it comes in; nil: none does
	seen     string                      // the revision of services
	synced   bool                        // services is complete
	settled  bool
	left     map[string]string // instances that are no endpoints, as service/id, and why
	before   map[string]string // the same before the current full state
	trouble  error             // why the registry cannot be reached; nil: it can
}

// known is an instance as it was reported.
type known struct {
	discovery.Endpoint

	held bool // the registry no longer knows it, or not yet again
}

func newOther(client *remote.Client, name string, bounds *egress.Bounds, log *slog.Logger) *other {
	o := &other{client: client, name: name, bounds: bounds, log: log, users: map[*otherProvider]struct{}{}, services: map[string]map[string]known{}, left: map[string]string{}}
	o.used.Run = o.watch
	return o
}

// Provider implements discovery.Source.
func (o *other) Provider(env discovery.Env, service config.Service) (discovery.Provider, error) {
	name, err := serviceOf(service.Source)
	return &otherProvider{source: o, env: env, service: name, wake: make(chan struct{}, 1)}, err
}

// Close implements discovery.Source.
func (o *other) Close() { o.client.Close() }

// join begins to serve p, and starts the watch for the first provider; leave ends that.
func (o *other) join(p *otherProvider) (leave func()) {
	o.mu.Lock()
	o.users[p] = struct{}{}
	p.nudge()
	o.mu.Unlock()
	release := o.used.Use()
	return func() {
		o.mu.Lock()
		delete(o.users, p)
		o.mu.Unlock()
		release()
	}
}

// The pauses between two attempts to watch: the first one, doubled up to the longest.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 5 * time.Second
)

// watch follows the registry until ctx ends. If the registry no longer knows the last revision, it is asked at once for
// everything. After any other end of a watch there is a pause, which becomes short again after a watch that has lasted.
func (o *other) watch(ctx context.Context) {
	pauses := backoff.New(firstPause, mostPause)
	for ctx.Err() == nil {
		o.mu.Lock()
		from := o.seen
		o.next = nil
		o.mu.Unlock()
		began := time.Now()
		err := o.client.Watch(ctx, from, o.event)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, base.ErrCompacted) && from != "" {
			o.forget()
			continue
		}
		o.cannotSee(fmt.Errorf("registry %s: %w", o.name, err))
		backoff.Wait(ctx, backoff.Spread(pauses.Ended(began)))
	}
}

// forget makes the next watch begin with the full state. What is known stays until that has arrived.
func (o *other) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = ""
}

func (o *other) cannotSee(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.trouble = err
	o.nudgeAll()
}

// event processes an event of the watch.
func (o *other) event(e remote.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch e.Name {
	case "reset":
		o.next = map[string]map[string]known{}
		o.before, o.left = o.left, map[string]string{}
	case "put":
		if e.Unread != nil {
			o.leaveOut(e.Service, e.ID, "an instance of another registry cannot be read, and is left out", e.Unread)
		} else {
			o.put(e.Entry)
		}
	case "delete":
		delete(o.left, e.Service+"/"+e.ID)
		if list := o.current()[e.Service]; list != nil {
			delete(list, e.ID)
		}
		o.nudge(e.Service)
	case "synced", "heartbeat":
		o.stand(e)
	}
	if e.Revision != "" && o.next == nil {
		o.seen = e.Revision
	}
}

// current returns the state that events change.
func (o *other) current() map[string]map[string]known {
	if o.next != nil {
		return o.next
	}
	return o.services
}

func (o *other) put(e base.Entry) {
	if err := o.bounds.Control("tcp", e.Address.String(), nil); err != nil {
		o.leaveOut(e.Service, e.ID, "an instance of another registry is where it may not be, and is left out; see `allow` of discovery.registry", err)
		return
	}
	delete(o.left, e.Service+"/"+e.ID)
	all := o.current()
	if all[e.Service] == nil {
		all[e.Service] = map[string]known{}
	}
	all[e.Service][e.ID] = known{Endpoint: endpoint(e)}
	o.nudge(e.Service)
}

// leaveOut removes an instance, and logs why, once for each reason.
func (o *other) leaveOut(service, id, what string, err error) {
	name := service + "/" + id // names of services have no slash
	told := o.left[name] == err.Error() || o.before[name] == err.Error()
	o.left[name] = err.Error()
	if !told {
		o.log.Warn(what, "service", service, "instance", id, "error", err)
	}
	delete(o.current()[service], id)
	o.nudge(service)
}

// stand records that everything up to now has been received.
func (o *other) stand(e remote.Event) {
	changed := o.trouble != nil || !o.synced || o.settled != e.Settled || o.next != nil
	if o.next != nil {
		if !e.Settled {
			o.hold()
		}
		o.services, o.next = o.next, nil
	}
	if e.Settled && !o.settled {
		o.release()
	}
	o.before = nil
	o.synced, o.settled, o.trouble = true, e.Settled, nil
	if changed {
		o.nudgeAll()
	}
}

// hold keeps instances that a restarted registry does not know yet.
func (o *other) hold() {
	for service, list := range o.services {
		for id, k := range list {
			if _, there := o.next[service][id]; there {
				continue
			}
			if o.next[service] == nil {
				o.next[service] = map[string]known{}
			}
			k.held = true
			o.next[service][id] = k
		}
	}
}

// release removes the instances that had time to come back and did not.
func (o *other) release() {
	for service, list := range o.services {
		for id, k := range list {
			if k.held {
				delete(list, id)
			}
		}
		if len(list) == 0 {
			delete(o.services, service)
		}
	}
}

// nudge wakes the providers of a service. While a full state comes in there is no need.
func (o *other) nudge(service string) {
	if o.next != nil {
		return
	}
	for p := range o.users {
		if p.service == service {
			p.nudge()
		}
	}
}

func (o *other) nudgeAll() {
	for p := range o.users {
		p.nudge()
	}
}

// view is what is known of one service.
type view struct {
	list            []discovery.Endpoint
	synced, settled bool
	trouble         error
}

func (o *other) view(service string) view {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := view{synced: o.synced, settled: o.settled, trouble: o.trouble, list: make([]discovery.Endpoint, 0, len(o.services[service]))}
	for _, k := range o.services[service] {
		v.list = append(v.list, k.Endpoint)
	}
	slices.SortFunc(v.list, func(a, b discovery.Endpoint) int { return cmp.Compare(a.ID, b.ID) })
	return v
}

type otherProvider struct {
	source  *other
	env     discovery.Env
	service string
	wake    chan struct{} // holds one
}

func (p *otherProvider) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run passes on what the watch finds.
func (p *otherProvider) Run(ctx context.Context, set func([]discovery.Endpoint)) error {
	defer p.source.join(p)()
	ticker := time.NewTicker(confirms)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		case <-ticker.C:
		}
		p.tell(p.source.view(p.service), set)
	}
}

func (p *otherProvider) tell(v view, set func([]discovery.Endpoint)) {
	switch {
	case v.trouble != nil || !v.synced:
	case v.settled:
		set(v.list)
	case p.env.Partly != nil:
		p.env.Partly(v.list)
	}
	if p.env.Looked != nil && (v.synced || v.trouble != nil) {
		p.env.Looked(v.trouble)
	}
}
