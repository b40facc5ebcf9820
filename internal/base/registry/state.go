package registry

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrUnknown says that there is no such instance: who lives registers again.
var ErrUnknown = errors.New("there is no such instance")

// LimitError says that there is no room.
type LimitError struct {
	What string
	Most int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("there are as many %s as may be: %d", e.What, e.Most)
}

// Limits bound what is kept. A zero one has its default.
type Limits struct {
	Services  int
	Instances int // of all services
	Service   int // instances of one service
	Bytes     int64
	Watchers  int
}

// DefaultLimits are promises: docs name them.
func DefaultLimits() Limits {
	return Limits{Services: 5000, Instances: 50_000, Service: 2000, Bytes: 64 << 20, Watchers: 1000}
}

// MostLimits bound limits: what is kept is in memory, beyond which nothing could be said to be bounded.
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

// State is how an instance stands with its lease.
type State string

// The states.
const (
	Live    State = "live"
	Suspect State = "suspect" // it was silent for its time, together with most of its service
)

// Entry is an instance as the registry has it.
type Entry struct {
	*Instance

	State   State
	Changed time.Time // when it, or its state, changed last
}

// entry is a place for an instance: with one, or for a while without one that was there.
type entry struct {
	service, id string
	instance    *Instance // nil: it was removed
	state       State
	changed     time.Time
	revision    uint64        // of the latest change
	beat        time.Duration // when it was heard last
	due         time.Duration // when its lease ends
	alarm       time.Duration // when that is looked at, due or before
	at          int           // in leases
	links       [chains]link
}

// group are the entries of one service.
type group struct {
	entries map[string]*entry // those that were removed lately too
	living  int
	changes chain
}

// The registry's own time.
const (
	// pulse is how often the time is looked at while there is a lease.
	pulse = 500 * time.Millisecond
	// away is how long nobody may have looked before that counts as time in which nobody
	// could be heard. The shortest lease outlives it.
	away = 3 * pulse
)

// settling is how long after a start that remembers nothing instances have to register
// again: they are told to by their next heartbeat.
const settling = 2 * DefaultTTL

// mostGone bounds how many removals are remembered for those who watch.
const mostGone = 4096

// state is the registry in a time that it is told: durations since its start, by a monotonic
// clock. Its own time, live, leaves out what the process has missed; the times of
// entries are of that one.
type state struct {
	limits    Limits
	now       func() time.Time // of the day, for people only
	groups    map[string]*group
	changes   chain
	gone      []gone // the oldest first
	remembers int    // how many of them
	leases    leases
	instances int
	services  int // those with an instance
	suspects  int
	bytes     int64

	revision uint64
	floor    uint64 // removals up to here may be forgotten

	seen    time.Duration // when the time was looked at last
	live    time.Duration
	settles time.Duration // until then there may be instances that were not heard yet

	// touched is called with each entry whose instance has changed, or is no more.
	touched func(*entry)
	tally   Tally
}

// Tally counts what happened since the start.
type Tally struct {
	Registered   uint64 // instances that were new
	Deregistered uint64
	Expired      uint64 // instances that were removed because they were silent
	Suspected    uint64
	Unknown      uint64 // heartbeats of instances that are not there
	Refused      uint64 // for the limits
	Frozen       uint64 // times the process was away, so that all leases began anew
}

// gone is an entry that was removed, by that change.
type gone struct {
	*entry

	revision uint64
}

func newState(limits Limits, touched func(*entry)) *state {
	return &state{
		limits: limits.orDefaults(), now: time.Now, groups: map[string]*group{}, changes: chain{which: ofAll}, touched: touched, settles: settling, remembers: mostGone,
	}
}

// look moves the time. All else calls it first.
func (s *state) look(now time.Duration) {
	gap := max(now-s.seen, 0)
	s.seen = max(s.seen, now)
	if gap <= away || len(s.leases) == 0 {
		s.live += gap
		return
	}
	s.live += pulse
	s.tally.Frozen++
	for _, e := range s.leases { // no alarm comes later than it did
		e.due = max(e.due, min(s.live+e.instance.TTL, e.end()))
	}
}

// end is when an entry is removed whatever the reason.
func (e *entry) end() time.Duration { return e.beat + e.instance.After }

// settled tells whether everybody who lives has had the time to say so.
func (s *state) settled() bool { return s.live >= s.settles }

// next is how long after the last look something is to be done; ok is false where nothing
// ever is.
func (s *state) next() (d time.Duration, ok bool) {
	if len(s.leases) > 0 {
		d, ok = min(max(s.leases[0].alarm-s.live, 0), pulse), true
	}
	if left := s.settles - s.live; left > 0 && (!ok || left < d) {
		d, ok = left, true
	}
	return d, ok
}

// put registers an instance, or what is new of it, and renews its lease.
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

// room tells whether there is room for i, in the place of before where that is not nil.
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

// find gives the entry of an instance that is there, else nil.
func (s *state) find(service, id string) *entry {
	if g := s.groups[service]; g != nil {
		if e := g.entries[id]; e != nil && e.instance != nil {
			return e
		}
	}
	return nil
}

// add makes room for an instance that is not there and has no lease yet.
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

// renew begins a full time of e's lease.
func (s *state) renew(e *entry) {
	e.beat, e.due = s.live, s.live+e.instance.TTL
	if e.at == none || e.due < e.alarm { // else the alarm finds out
		s.leases.grant(e, e.due)
	}
	if s.revive(e) {
		s.change(e)
	}
}

// revive takes a suspicion back, and tells whether there was one.
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

// remove takes an instance out.
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

// forget lets go of a removal, unless the instance has come back or went again.
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

// expire ends what is over.
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

// suspect keeps e although its time is up, and looks again before the next ones of its
// service can have fallen silent alone.
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

// verdicts are, during one expiry, whether the silence in a service is rather that of the
// network.
type verdicts struct {
	services map[string]bool
	all      *bool
}

// rather tells whether so many are silent that it is not their own doing: more than half
// of the service, or of all there are. One alone says nothing.
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

// census counts how many of some instances are silent.
type census struct{ silent, living int }

// count takes e for silent when it has missed more than one of the heartbeats that it should
// send three times in its TTL: when the first lease of those that fell silent together ends,
// all of them have.
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

// restore takes in what was there before the start, as if it had been heard just now.
// Instances that have registered since are newer. What there is no room for is left out.
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

// since gives what has changed in a service, or in all for "", after a revision, and whether
// removals since may have been forgotten: then it is all there is.
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

// living gives the instances of a service, or of all for "", by service and id.
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
