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

// other is the registry of another process. One watch serves all services, and goes on from
// the last revision when it breaks. A registry that was started anew knows its instances
// little by little: until it says that it is settled nobody is taken for gone.
type other struct {
	client *remote.Client
	name   string
	bounds *egress.Bounds
	log    *slog.Logger
	used   discovery.Used // runs watch

	mu       sync.Mutex
	users    map[*otherProvider]struct{}
	services map[string]map[string]known // by service and id
	next     map[string]map[string]known // being told anew; nil: nothing is
	seen     string                      // the revision that services are of
	synced   bool                        // services are all there are
	settled  bool
	left     map[string]string // instances that are no endpoints, as service/id, and why
	before   map[string]string // the same of before all is told anew
	trouble  error             // why the registry cannot be seen; nil: it can
}

// known is an instance as it was told.
type known struct {
	discovery.Endpoint

	held bool // the registry does not know it any more, or not yet again
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

// join begins to serve p, and to watch for the first one; leave ends that.
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

// The pauses between two attempts to watch: so long at first, doubled up to the most.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 5 * time.Second
)

// watch follows the registry until ctx ends. One that has forgotten where the last watch was is asked at
// once for everything; whatever else ends a watch has a pause follow, which a watch that has lasted
// makes short again.
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

// forget lets the next watch begin anew. What is known stays until it was told.
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

// event takes in what the watch tells.
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

// current is what events are about.
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

// leaveOut has an instance be none, and tells why, once for each reason.
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

// stand notes that everything up to now was told.
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

// hold keeps instances that a registry which was started anew does not know yet.
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

// release lets go of those who had the time to come back, and did not.
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

// nudge lets those who serve a service look again. While all is told anew nobody needs to.
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
