package compose

import (
	"container/list"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config"
)

// cache keeps the results of a step. Calls that send the same wait for the one of them that is under way. It is safe
// for concurrent use.
//
// It has no goroutine of its own: one of the callers makes the call, within its own time and for its own client. If
// that caller ends the call for reasons of its own, the next caller makes it.
type cache struct {
	ttl    time.Duration
	shared bool
	most   int64 // bytes
	renew  *expr.Program
	meter  *telemetry.StepCache

	mu      sync.Mutex
	held    int64
	entries map[string]*list.Element // of *entry
	used    list.List                // most recently used first
	flights map[string]*flight
}

// entry is a result that is kept.
type entry struct {
	key    string
	result expr.StepResult
	until  time.Time
	bytes  int64
}

// flight is a call that others wait for. Its fields are written before done is closed.
type flight struct {
	done chan struct{}
	end  ending
	got  gift
	err  error
}

// gift is what a call passes on to callers that have made the same call.
type gift struct {
	result expr.StepResult
	passes bool
	head   exchange.Head
	raw    []byte
}

// ending is what the end of a flight means to the callers that wait for it.
type ending uint8

const (
	unfinished ending = iota // the caller that made it has ended it; another one makes it again
	forAll                   // all of them get its result
	forOne                   // no other caller may have the result, so each makes the call itself
)

func (b *builder) cache(c *config.StepCache, name string) (*cache, error) {
	if c == nil {
		return nil, nil
	}
	made := &cache{ttl: c.TTL, shared: c.Shared, most: c.Bytes, meter: b.meter(name), entries: map[string]*list.Element{}, flights: map[string]*flight{}}
	var err error
	made.renew, err = b.program(c.Renew, expr.Bool, callScope)
	return made, err
}

// cacheNote describes in a few words what is kept, for explain.
func cacheNote(c *config.StepCache) string {
	whose := "each caller by itself"
	if c.Shared {
		whose = "all callers"
	}
	return "kept for " + c.TTL.String() + " for " + whose
}

// prepare gives c its key, and determines whether c needs a new result even if one is kept.
func (k *cache) prepare(c *call) error {
	c.key = k.key(c)
	if k.renew == nil {
		return nil
	}
	var err error
	c.renews, err = k.renew.Bool(&c.run.in)
	return err
}

// key holds everything by which the backend can tell two calls apart: what the step sends and, unless the cache is
// shared, for whom. Each part is preceded by its length, so that two different lists of parts never give the same key.
func (k *cache) key(c *call) string {
	b := make([]byte, 0, usualKey)
	if x := &c.exchange; !k.shared {
		b = appendParts(b, x.Client.Scheme, x.Client.Host)
		if id := x.Identity; id != nil {
			b = appendParts(b, id.Method, id.Issuer, id.Subject)
		}
	}
	b = appendParts(append(b, 0), c.path, c.query)
	for _, f := range c.headers {
		b = appendParts(b, f.Name, f.Value)
	}
	return string(b)
}

const usualKey = 128

// appendParts appends parts in a form that is unambiguous, including the end of a list.
func appendParts(b []byte, parts ...string) []byte {
	for _, part := range parts {
		b = append(binary.AppendUvarint(b, uint64(len(part))+1), part...)
	}
	return b
}

// give gives c what is kept, and reports whether there is anything.
func (k *cache) give(c *call) bool {
	if c.renews {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.find(c)
}

// find looks for what is kept for c. mu is locked.
func (k *cache) find(c *call) bool {
	at := k.entries[c.key]
	if at == nil {
		return false
	}
	e := at.Value.(*entry) //nolint:forcetypeassert // nothing else is in the list
	if !time.Now().Before(e.until) {
		k.drop(at)
		c.expired = true
		return false
	}
	k.used.MoveToFront(at)
	c.result, c.given = e.result, true
	k.meter.Asked(telemetry.CacheHit)
	return true
}

func (k *cache) drop(at *list.Element) {
	e := k.used.Remove(at).(*entry) //nolint:forcetypeassert // as above
	delete(k.entries, e.key)
	k.held -= e.bytes
}

// keep keeps a result for a while; the least recently used results make room.
func (k *cache) keep(e *entry) {
	if e.bytes > k.most {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if before := k.entries[e.key]; before != nil {
		k.drop(before)
	}
	for k.held+e.bytes > k.most {
		k.drop(k.used.Back())
	}
	k.entries[e.key] = k.used.PushFront(e)
	k.held += e.bytes
}

// once makes the call c, or waits for another call that sends the same.
func (k *cache) once(ctx context.Context, c *call) error {
	if c.renews {
		k.meter.Asked(telemetry.CacheRenewed)
		err := c.tries(ctx)
		k.land(nil, c, err)
		return err
	}
	for {
		f, first := k.join(c)
		switch {
		case f == nil:
			return c.charge()
		case first:
			k.meter.Asked(missed(c))
			return k.lead(ctx, f, c)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		switch f.end {
		case forOne:
			k.meter.Asked(missed(c))
			return c.tries(ctx)
		case forAll:
			k.meter.Asked(telemetry.CacheShared)
			c.given, c.result, c.passes, c.head, c.raw = true, f.got.result, f.got.passes, f.got.head, f.got.raw
			if f.err != nil {
				return f.err
			}
			return c.charge()
		default: // another caller makes it
		}
	}
}

// missed returns what c counts as if nothing was kept for it.
func missed(c *call) telemetry.CacheResult {
	if c.expired {
		return telemetry.CacheExpired
	}
	return telemetry.CacheMiss
}

// charge counts what was given against the room for all bodies together, as if it had come from the backend: whether an
// answer fits must not depend on what is kept.
func (c *call) charge() error {
	n := len(c.result.Text)
	if body, ok := c.result.Body.(jsonx.Value); ok {
		n = max(n, len(body.Raw()))
	}
	if c.run.left.Add(-int64(n)) < 0 {
		return errTogether
	}
	return nil
}

// join returns the flight of the callers that make the same call as c. first says that c has to make it. f is nil if c
// has got what is kept.
func (k *cache) join(c *call) (f *flight, first bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.find(c) {
		return nil, false
	}
	if f := k.flights[c.key]; f != nil {
		return f, false
	}
	f = &flight{done: make(chan struct{})}
	k.flights[c.key] = f
	return f, true
}

// lead makes the call that others wait for.
func (k *cache) lead(ctx context.Context, f *flight, c *call) (err error) {
	defer func() { // also after a panic
		k.mu.Lock()
		delete(k.flights, c.key)
		k.mu.Unlock()
		close(f.done)
	}()
	err = c.tries(ctx)
	if ctx.Err() == nil || errors.Is(context.Cause(ctx), errTime) {
		k.land(f, c, err)
	}
	return err
}

// land keeps the result of a call, and passes it to the callers that wait for f, which may be nil.
func (k *cache) land(f *flight, c *call, err error) {
	if errors.Is(err, errTogether) {
		return // other callers have room of their own
	}
	ttl, forOthers := k.ttl, true
	switch {
	case err != nil:
	case c.passes:
		_, forOthers = k.freshness(c.head)
	default:
		ttl, forOthers = k.freshness(c.result.Head)
	}
	result := c.result
	if result.Head != nil {
		result.Head = nil
		if c.step.readsHead {
			result.Head = exchange.NewHead(c.run.r)
			exchange.CopyAll(result.Head, c.result.Head)
		}
	}
	if err == nil && !c.passes && ttl > 0 && forOthers {
		k.keep(&entry{key: c.key, result: result, until: time.Now().Add(ttl), bytes: weigh(c.key, &result)})
	}
	switch {
	case f == nil:
	case forOthers:
		f.got, f.err, f.end = gift{result, c.passes, c.head, c.raw}, err, forAll
	default:
		f.end = forOne
	}
}

// weigh estimates how much memory an entry takes.
func weigh(key string, result *expr.StepResult) int64 {
	const itself = 256
	n := itself + len(key) + len(result.Text)
	if body, ok := result.Body.(jsonx.Value); ok {
		n += body.Held()
	}
	if result.Head != nil {
		const line = 64
		for name, value := range result.Head.All() {
			n += line + len(name) + len(value)
		}
	}
	return int64(n)
}

// freshness returns how long a response may be kept at most, and whether another caller may have it at all. The config
// says how long; a response can only shorten that (RFC 9111 sections 3.5 and 5.2.2; RFC 6265 section 3: a cookie is for
// one user agent).
func (k *cache) freshness(head exchange.Head) (ttl time.Duration, forOthers bool) {
	ttl = k.ttl
	if k.shared && len(head.Values("Set-Cookie")) > 0 {
		return 0, false
	}
	maxAge, sharedAge := ttl, time.Duration(-1)
	for _, value := range head.Values("Cache-Control") {
		for directive := range strings.SplitSeq(value, ",") {
			name, argument, _ := strings.Cut(strings.TrimSpace(directive), "=")
			switch strings.ToLower(name) {
			case "no-store", "no-cache":
				return 0, false
			case "private":
				if k.shared {
					return 0, false
				}
			case "max-age":
				maxAge = seconds(argument)
			case "s-maxage":
				sharedAge = seconds(argument)
			}
		}
	}
	if sharedAge >= 0 {
		maxAge = sharedAge
	}
	if slices.Contains(head.Values("Vary"), "*") {
		return 0, true
	}
	return min(ttl, maxAge-seconds(head.Get("Age"))), true
}

// seconds parses a number of seconds; anything else is 0.
func seconds(text string) time.Duration {
	n, err := strconv.ParseUint(strings.Trim(text, `" `), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
