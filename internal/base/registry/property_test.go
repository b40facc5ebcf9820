package registry

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world plays a registry with its clients in a time of its own. Some instances are alive and
// send a heartbeat three times in their TTL whenever the registry can hear them, some are
// silent, and somebody watches now and then.
type world struct {
	state *state
	now   time.Duration
	// heard is the time in which the registry ran, which is all that may count against
	// an instance, since an instance was heard.
	alive  map[key]time.Duration // when it sends its next heartbeat
	silent map[key]time.Duration // for how long the registry has run since it was heard
	ids    []key
	// follower is what somebody believes who watches, up to a revision.
	follower map[key]*Instance
	seen     uint64
	noted    map[key]*Instance // what the file would hold
}

const worldTTL = 9 * time.Second

func newWorld() *world {
	w := &world{alive: map[key]time.Duration{}, silent: map[key]time.Duration{}, follower: map[key]*Instance{}, noted: map[key]*Instance{}}
	w.state = newState(Limits{Services: 4, Instances: 20, Service: 8}, func(e *entry) {
		if w.noted[key{e.service, e.id}] = e.instance; e.instance == nil {
			delete(w.noted, key{e.service, e.id})
		}
	})
	w.state.remembers = 3
	w.state.now = func() time.Time { return time.Unix(0, 0).Add(w.now) }
	for s := range 4 {
		for i := range 6 {
			w.ids = append(w.ids, key{fmt.Sprintf("s%d", s), fmt.Sprintf("i%d", i)})
		}
	}
	return w
}

func (w *world) instance(k key, weight int) *Instance {
	return &Instance{
		Service: k.service, ID: k.id, Address: netip.MustParseAddrPort("10.0.0.1:80"), Weight: weight, Condition: Ready, TTL: worldTTL, After: DefaultAfter * worldTTL,
	}
}

// pass lets time pass in steps that are short enough for nobody to be missed.
func (w *world) pass(d time.Duration) {
	for d > 0 {
		step := min(d, 200*time.Millisecond)
		d -= step
		w.now += step
		for k := range w.silent {
			w.silent[k] += step
		}
		for _, k := range w.ids {
			if next, ok := w.alive[k]; ok && next <= w.now {
				w.beat(k)
			}
		}
		w.state.expire(w.now)
	}
}

// beat is a client that does as the API asks: it registers again where it is unknown.
func (w *world) beat(k key) {
	w.alive[k] = w.now + worldTTL/3
	if w.state.heartbeat(w.now, k.service, k.id) != nil {
		if _, _, err := w.state.put(w.now, w.instance(k, 1)); err != nil {
			delete(w.alive, k)
			return
		}
	}
	w.silent[k] = 0
}

// stop is the process being stopped: time goes on, and nobody is heard.
func (w *world) stop(d time.Duration, look func()) {
	w.now += d
	look() // whatever comes first afterwards
	for k := range w.alive {
		w.alive[k] = w.now + worldTTL/2 // who found nobody there tries again soon
	}
	for k := range w.silent {
		w.silent[k] += pulse // no more than this counts
	}
}

func (w *world) key(t *rapid.T) key { return rapid.SampledFrom(w.ids).Draw(t, "instance") }

func (w *world) living() []key {
	var list []key
	for _, e := range w.state.living("") {
		list = append(list, key{e.Service, e.ID})
	}
	return list
}

// look lets the follower catch up.
func (w *world) look() {
	changed, whole := w.state.since("", w.seen)
	if whole {
		clear(w.follower)
	}
	last := uint64(0)
	for _, e := range changed {
		if e.revision <= last {
			panic("changes are not in their order")
		}
		last = e.revision
		if e.instance == nil {
			delete(w.follower, key{e.service, e.id})
		} else {
			w.follower[key{e.service, e.id}] = e.instance
		}
	}
	w.seen = w.state.revision
}

// check holds what is always so.
func (w *world) check(t *rapid.T) {
	s := w.state
	list := w.living()
	suspects, bytes, services := 0, int64(0), map[string]bool{}
	for _, k := range list {
		e := s.find(k.service, k.id)
		services[k.service] = true
		bytes += e.instance.size()
		if e.state == Suspect {
			suspects++
		}
		if silent := w.silent[k]; silent > e.instance.After+time.Second {
			t.Fatalf("%v is there although it was silent for %s", k, silent)
		}
		if s.leases[e.at] != e || e.alarm > e.due {
			t.Fatalf("the lease of %v is at %d, alarm %s, due %s", k, e.at, e.alarm, e.due)
		}
	}
	if len(list) != s.instances || len(list) != len(s.leases) || suspects != s.suspects || bytes != s.bytes || len(services) != s.services {
		t.Fatalf("there are %d instances of %d services, %d of them suspect, %d bytes: counted are %d, %d leases, %d, %d, %d",
			len(list), len(services), suspects, bytes, s.instances, len(s.leases), s.services, s.suspects, s.bytes)
	}
	if len(list) > s.limits.Instances || len(services) > s.limits.Services {
		t.Fatalf("%d instances of %d services are more than may be", len(list), len(services))
	}
	for k := range w.alive {
		if s.find(k.service, k.id) == nil {
			t.Fatalf("%v is gone although it lives", k)
		}
	}
	if noted := slices.Collect(maps.Keys(w.noted)); len(noted) != len(list) {
		t.Fatalf("the file would hold %v, there is %v", noted, list)
	}
}

// TestWhateverHappens is a property: whoever lives is never missing and whoever does not goes,
// however often the process is stopped, and who follows ends up with what there is.
func TestWhateverHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		t.Repeat(map[string]func(*rapid.T){
			"": w.check,
			"an instance starts": func(t *rapid.T) {
				k := w.key(t)
				if _, _, err := w.state.put(w.now, w.instance(k, rapid.IntRange(1, 2).Draw(t, "weight"))); err == nil {
					w.alive[k], w.silent[k] = w.now+worldTTL/3, 0
				}
			},
			"an instance falls silent": func(t *rapid.T) { delete(w.alive, w.key(t)) },
			"a service falls silent": func(t *rapid.T) {
				name := w.key(t).service
				maps.DeleteFunc(w.alive, func(k key, _ time.Duration) bool { return k.service == name })
			},
			"an instance leaves": func(t *rapid.T) {
				k := w.key(t)
				_ = w.state.remove(w.now, k.service, k.id)
				delete(w.alive, k)
			},
			"time passes": func(t *rapid.T) {
				w.pass(time.Duration(rapid.IntRange(100, 20_000).Draw(t, "ms")) * time.Millisecond)
			},
			"the process is stopped": func(t *rapid.T) {
				before := len(w.living())
				k, first := w.key(t), rapid.IntRange(0, 2).Draw(t, "what comes first")
				w.stop(time.Duration(rapid.IntRange(2, 3000).Draw(t, "s"))*time.Second, func() {
					switch first {
					case 0:
						w.state.expire(w.now)
					case 1:
						_ = w.state.heartbeat(w.now, k.service, k.id)
						w.state.expire(w.now)
					default:
						w.state.look(w.now)
						w.state.expire(w.now)
					}
				})
				if first == 1 && w.silent[k] > 0 && w.state.find(k.service, k.id) != nil {
					w.silent[k] = 0
				}
				if after := len(w.living()); after < before && len(w.alive) == before {
					t.Fatalf("%d of %d instances are left by a stop", after, before)
				}
			},
			"somebody looks": func(*rapid.T) { w.look() },
		})
		w.look()
		for _, k := range w.living() {
			if w.follower[k] != w.state.find(k.service, k.id).instance {
				t.Fatalf("who follows believes %v of %v", w.follower[k], k)
			}
		}
		if len(w.follower) != len(w.living()) {
			t.Fatalf("who follows believes %v, there is %v", w.follower, w.living())
		}
		clear(w.alive)
		w.pass(DefaultAfter*worldTTL + 2*time.Second)
		if left := w.living(); len(left) != 0 {
			t.Fatalf("%v stay for ever", left)
		}
		if len(w.noted) != 0 {
			t.Fatalf("%v stay in the file", w.noted)
		}
	})
}
