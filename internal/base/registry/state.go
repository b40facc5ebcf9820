package registry

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrUnknown says that there is no such instance. An instance that is alive must register again.
var ErrUnknown = errors.New("there is no such instance")

// LimitError says that a limit is reached.
type LimitError struct {
	What string
	Most int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("there are as many %s as may be: %d", e.What, e.Most)
}

// Limits bound what the registry keeps. A limit of zero means its default.
type Limits struct {
	Services  int
	Instances int // of all services
	Service   int // instances of one service
	Bytes     int64
	Watchers  int
}

// DefaultLimits returns the default limits, which are documented promises.
func DefaultLimits() Limits {
	return Limits{Services: 5000, Instances: 50_000, Service: 2000, Bytes: 64 << 20, Watchers: 1000}
}

// MostLimits returns the greatest limits that may be set. Everything is kept in memory, so larger ones would bound
// nothing.
func MostLimits() Limits {
	return Limits{Services: 1_000_000, Instances: 5_000_000, Service: 1_000_000, Bytes: 64 << 30, Watchers: 100_000}
}

func (l Limits) orDefaults() Limits {
	d := DefaultLimits()
	return Limits{
		Services: cmp.Or(l.Services, d.Services), Instances: cmp.Or(l.Instances, d.Instances), Service: cmp.Or(l.Service, d.Service),
		Bytes: cmp.Or(l.Bytes, d.Bytes), Watchers: cmp.Or(l.Watchers, d.Watchers),
	}
}

// State is the state of an instance's lease.
type State string

// The states.
const (
	Live    State = "live"
	Suspect State = "suspect" // it was silent for its TTL, together with most of its service
)

// Entry is an instance with what the registry knows of it.
type Entry struct {
	*Instance

	State   State
	Changed time.Time // when the instance or its state last changed
}

// entry holds an instance. After a removal it stays for a while without one.
type entry struct {
	service, id string
	instance    *Instance // nil if it was removed
	state       State
	changed     time.Time
	revision    uint64        // of the latest change
	beat        time.Duration // when it was last heard
	due         time.Duration // when its lease ends
	alarm       time.Duration // when the lease is looked at: at due or before
	at          int           // index in leases
	links       [chains]link
}

// group holds the entries of one service.
type group struct {
	entries map[string]*entry // includes those that were removed recently
	living  int
	changes chain
}

// How the registry measures its own time.
const (
	// pulse is how often the time is looked at while there is a lease.
	pulse = 500 * time.Millisecond
	// away is how long the gap between two looks may be. A longer gap counts as time in which no heartbeat could be
	// received. The shortest lease is longer than away.
	away = 3 * pulse
)

// settling is how long instances have to register again after a start without a restored file. Their next heartbeat
// tells them to.
const settling = 2 * DefaultTTL

// mostGone bounds how many removals are remembered for watchers.
const mostGone = 4096

// state is the registry's state. Its methods are passed the time as a duration since the start, by a monotonic clock.
// state keeps a time of its own, live, which leaves out what the process has missed. The times of entries are in that
// time.
type state struct {
	limits    Limits
	now       func() time.Time // wall-clock time, only shown to people
	groups    map[string]*group
	changes   chain
	gone      []gone // oldest first
	remembers int    // how many of gone to keep
	leases    leases
	instances int
	services  int // those with at least one instance
	suspects  int
	bytes     int64

	revision uint64
	floor    uint64 // removals up to this revision may be forgotten

	seen    time.Duration // when the time was last looked at
	live    time.Duration
	settles time.Duration // before this, some live instances may not have registered yet

	// touched is called with each entry whose instance has changed or was removed.
	touched func(*entry)
	tally   Tally
}

// Tally counts events since the start.
type Tally struct {
	Registered   uint64 // instances that were new
	Deregistered uint64
	Expired      uint64 // instances that were removed for their silence
	Suspected    uint64
	Unknown      uint64 // heartbeats of instances that are not registered
	Refused      uint64 // because of the limits
	Frozen       uint64 // times that the process was away, so that all leases began again
}

// gone is an entry that was removed, with the revision of its removal.
type gone struct {
	*entry

	revision uint64
}

func newState(limits Limits, touched func(*entry)) *state {
	return &state{
		limits: limits.orDefaults(), now: time.Now, groups: map[string]*group{}, changes: chain{which: ofAll}, touched: touched, settles: settling, remembers: mostGone,
	}
}

// look advances the time. Every other method that is passed the time calls it first.
func (s *state) look(now time.Duration) {
	gap := max(now-s.seen, 0)
	s.seen = max(s.seen, now)
	if gap <= away || len(s.leases) == 0 {
		s.live += gap
		return
	}
	s.live += pulse
	s.tally.Frozen++
	for _, e := range s.leases { // due never moves earlier, so no alarm is late
		e.due = max(e.due, min(s.live+e.instance.TTL, e.end()))
	}
}

// end is when an entry is removed, whatever the reason.
func (e *entry) end() time.Duration { return e.beat + e.instance.After }

// settled reports whether all live instances have had time to register.
func (s *state) settled() bool { return s.live >= s.settles }

// next returns how long after the last look there is something to do. ok is false if there is nothing to do.
func (s *state) next() (d time.Duration, ok bool) {
	if len(s.leases) > 0 {
		d, ok = min(max(s.leases[0].alarm-s.live, 0), pulse), true
	}
	if left := s.settles - s.live; left > 0 && (!ok || left < d) {
		d, ok = left, true
	}
	return d, ok
}

// put registers an instance, or updates it, and renews its lease.
func (s *state) put(now time.Duration, i *Instance) (created, changed bool, err error) {
	s.look(now)
	e := s.find(i.Service, i.ID)
	if e != nil && e.instance.same(i) {
		s.renew(e)
		return false, false, nil
	}
	var before *Instance
	if e != nil {
		before = e.instance
	}
	if err := s.room(i, before); err != nil {
		s.tally.Refused++
		return false, false, err
	}
	if e == nil {
		e = s.add(i)
		s.tally.Registered++
	} else {
		s.bytes += i.size() - before.size()
		e.instance = i
		s.revive(e)
		s.change(e)
	}
	s.renew(e)
	s.touched(e)
	return before == nil, true, nil
}

// room returns an error if there is no room for i. If before is not nil, i replaces it.
func (s *state) room(i, before *Instance) error {
	g := s.groups[i.Service]
	size := i.size()
	if before != nil {
		size -= before.size()
	}
	switch l := s.limits; {
	case s.bytes+size > l.Bytes && size > 0:
		return &LimitError{"bytes", l.Bytes}
	case before != nil:
	case (g == nil || g.living == 0) && s.services >= l.Services:
		return &LimitError{"services", int64(l.Services)}
	case s.instances >= l.Instances:
		return &LimitError{"instances", int64(l.Instances)}
	case g != nil && g.living >= l.Service:
		return &LimitError{"instances of one service", int64(l.Service)}
	}
	return nil
}

// find returns the entry of a registered instance, or nil.
func (s *state) find(service, id string) *entry {
	if g := s.groups[service]; g != nil {
		if e := g.entries[id]; e != nil && e.instance != nil {
			return e
		}
	}
	return nil
}

// add adds an instance that is not registered. It does not begin a lease.
func (s *state) add(i *Instance) *entry {
	g := s.groups[i.Service]
	if g == nil {
		g = &group{entries: map[string]*entry{}, changes: chain{which: ofService}}
		s.groups[i.Service] = g
	}
	e := g.entries[i.ID]
	if e == nil {
		e = &entry{service: i.Service, id: i.ID, at: none}
		g.entries[i.ID] = e
		s.changes.append(e)
		g.changes.append(e)
	}
	if g.living++; g.living == 1 {
		s.services++
	}
	s.instances++
	s.bytes += i.size()
	e.instance, e.state = i, Live
	s.change(e)
	return e
}

// change gives e the next revision.
func (s *state) change(e *entry) {
	s.revision++
	e.revision, e.changed = s.revision, s.now()
	own := &s.groups[e.service].changes
	s.changes.take(e)
	s.changes.append(e)
	own.take(e)
	own.append(e)
}

// renew begins a full TTL of e's lease.
func (s *state) renew(e *entry) {
	e.beat, e.due = s.live, s.live+e.instance.TTL
	if e.at == none || e.due < e.alarm { // otherwise the alarm finds out
		s.leases.grant(e, e.due)
	}
	if s.revive(e) {
		s.change(e)
	}
}

// revive makes a suspect entry live again, and reports whether it was suspect.
func (s *state) revive(e *entry) bool {
	if e.state != Suspect {
		return false
	}
	e.state = Live
	s.suspects--
	return true
}

// heartbeat renews a lease.
func (s *state) heartbeat(now time.Duration, service, id string) error {
	s.look(now)
	e := s.find(service, id)
	if e == nil {
		s.tally.Unknown++
		return ErrUnknown
	}
	s.renew(e)
	return nil
}

// remove removes an instance.
func (s *state) remove(now time.Duration, service, id string) error {
	s.look(now)
	e := s.find(service, id)
	if e == nil {
		return ErrUnknown
	}
	s.tally.Deregistered++
	s.drop(e)
	return nil
}

func (s *state) drop(e *entry) {
	s.revive(e)
	s.leases.end(e)
	s.bytes -= e.instance.size()
	s.instances--
	g := s.groups[e.service]
	if g.living--; g.living == 0 {
		s.services--
	}
	e.instance = nil
	s.change(e)
	s.touched(e)
	s.gone = append(s.gone, gone{e, e.revision})
	for len(s.gone) > s.remembers {
		s.forget(s.gone[0])
		s.gone[0] = gone{}
		s.gone = s.gone[1:]
	}
}

// forget forgets a removal, unless the instance has come back or was removed again.
func (s *state) forget(old gone) {
	e := old.entry
	if e.instance != nil || e.revision != old.revision {
		return
	}
	s.floor = max(s.floor, e.revision)
	g := s.groups[e.service]
	s.changes.take(e)
	g.changes.take(e)
	if delete(g.entries, e.id); len(g.entries) == 0 {
		delete(s.groups, e.service)
	}
}

// expire ends the leases that are over.
func (s *state) expire(now time.Duration) {
	s.look(now)
	var judged verdicts
	for len(s.leases) > 0 && s.leases[0].alarm <= s.live {
		e := s.leases[0]
		switch {
		case e.due > s.live:
			s.leases.grant(e, e.due)
		case e.end() > s.live && judged.rather(s, e.service):
			s.suspect(e)
		default:
			s.tally.Expired++
			s.drop(e)
		}
	}
}

// suspect keeps e although its lease has ended. It looks again before further entries of the service could have fallen
// silent on their own.
func (s *state) suspect(e *entry) {
	if e.state != Suspect {
		e.state = Suspect
		s.suspects++
		s.tally.Suspected++
		s.change(e)
	}
	e.due = min(s.live+e.instance.TTL/3, e.end())
	s.leases.grant(e, e.due)
}

// verdicts records, during one expiry, in which services silence is probably the fault of the network.
type verdicts struct {
	services map[string]bool
	all      *bool
}

// rather reports whether so many instances are silent that the network is the likely cause: more than half of the
// service, or of all services. A single silent instance is never enough.
func (v *verdicts) rather(s *state, service string) bool {
	if is, ok := v.services[service]; ok {
		return is
	}
	if v.services == nil {
		v.services = map[string]bool{}
	}
	var c census
	for _, e := range s.groups[service].entries {
		c.count(s, e)
	}
	is := c.most() || v.everywhere(s)
	v.services[service] = is
	return is
}

func (v *verdicts) everywhere(s *state) bool {
	if v.all == nil {
		var c census
		for _, e := range s.leases {
			c.count(s, e)
		}
		is := c.most()
		v.all = &is
	}
	return *v.all
}

// census counts how many of a number of instances are silent.
type census struct{ silent, living int }

// count treats e as silent once it was not heard for half of its TTL, in which it should have sent a heartbeat: three
// are due per TTL. When the first lease of instances that fell silent together ends, all of them count as silent.
func (c *census) count(s *state, e *entry) {
	if e.instance == nil {
		return
	}
	c.living++
	if s.live-e.beat >= e.instance.TTL/2 {
		c.silent++
	}
}

func (c *census) most() bool { return c.silent > 1 && 2*c.silent > c.living }

// restore adds instances from before the start, as if they had been heard just now. Instances that have registered
// since are newer and are kept. Instances beyond the limits are left out.
func (s *state) restore(now time.Duration, list []*Instance) (taken int) {
	s.look(now)
	for _, i := range list {
		if s.find(i.Service, i.ID) == nil && s.room(i, nil) == nil {
			s.renew(s.add(i))
			taken++
		}
	}
	return taken
}

// since returns what has changed in a service, or in all services if service is "", after a revision. If removals after
// that revision may have been forgotten, whole is true and the list contains everything.
func (s *state) since(service string, revision uint64) (changed []*entry, whole bool) {
	c := &s.changes
	if service != "" {
		g := s.groups[service]
		if g == nil {
			return nil, revision < s.floor
		}
		c = &g.changes
	}
	if whole = revision < s.floor; whole {
		revision = 0
	}
	return c.since(revision), whole
}

// living returns the instances of a service, or of all services if service is "", sorted by service and id.
func (s *state) living(service string) []Entry {
	list, _ := s.since(service, 0)
	entries := make([]Entry, 0, len(list))
	for _, e := range list {
		if e.instance != nil {
			entries = append(entries, e.entry())
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.ID, b.ID)) })
	return entries
}

func (e *entry) entry() Entry { return Entry{e.instance, e.state, e.changed} }
