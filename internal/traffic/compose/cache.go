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

// cache keeps what a step gave, and lets calls that send the same wait for the one
// of them that is under way. It is safe for concurrent use.
//
// No goroutine is its own: one of those who call makes the call, in its own time and
// for its own client, and where that ends it for reasons of its own the next one
// does.
type cache struct {
	ttl    time.Duration
	shared bool
	most   int64 // bytes
	renew  *expr.Program
	meter  *telemetry.StepCache

	mu      sync.Mutex
	held    int64
	entries map[string]*list.Element // of *entry
	used    list.List                // the latest first
	flights map[string]*flight
}

// entry is a result that is kept.
type entry struct {
	key    string
	result expr.StepResult
	until  time.Time
	bytes  int64
}

// flight is a call that others wait for. What is in it is written before done is closed.
type flight struct {
	done chan struct{}
	end  ending
	got  gift
	err  error
}

// gift is what a call gives to those who have made the same one.
type gift struct {
	result expr.StepResult
	passes bool
	head   exchange.Head
	raw    []byte
}

// ending is what a flight means to those who wait for it.
type ending uint8

const (
	unfinished ending = iota // who made it has ended it; another one does it again
	forAll                   // they have what it gave
	forOne                   // nobody else may have that, so each asks for itself
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

// note says in a few words what is kept, for explain.
func cacheNote(c *config.StepCache) string {
	whose := "each caller by itself"
	if c.Shared {
		whose = "all callers"
	}
	return "kept for " + c.TTL.String() + " for " + whose
}

// prepare gives c its key, and tells whether what is kept under it is not wanted.
func (k *cache) prepare(c *call) error {
	c.key = k.key(c)
	if k.renew == nil {
		return nil
	}
	var err error
	c.renews, err = k.renew.Bool(&c.run.in)
	return err
}

// key is all that the backend can tell two calls apart by: what the step sends and,
// unless it makes no difference, for whom. Each part has its length before it, so
// that no two lists of parts look alike.
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

// appendParts appends parts that are never mistaken for others, or for their end.
func appendParts(b []byte, parts ...string) []byte {
	for _, part := range parts {
		b = append(binary.AppendUvarint(b, uint64(len(part))+1), part...)
	}
	return b
}

// give gives c what is kept, if anything is.
func (k *cache) give(c *call) bool {
	if c.renews {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.find(c)
}

// find looks for what is kept for c.
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

// keep keeps a result for a while; those that were not used for longest make room.
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

// once makes the call c, or waits for another one that sends the same.
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
		default: // another one makes it
		}
	}
}

// missed is what c counts as, for which nothing was kept.
func missed(c *call) telemetry.CacheResult {
	if c.expired {
		return telemetry.CacheExpired
	}
	return telemetry.CacheMiss
}

// charge takes what was given from the room of all bodies together, as if it had come
// from the backend: whether an answer fits does not depend on what is kept.
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

// join gives the flight of those who call as c does, first where c is to make it; nil
// where c has got what is kept.
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

// land keeps what a call gave, and gives it to who waits for f, which may be nil.
func (k *cache) land(f *flight, c *call, err error) {
	if errors.Is(err, errTogether) {
		return // others have room of their own
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

// weigh is about how much memory an entry takes.
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

// freshness tells how long a response may be kept at most, and whether anybody else may
// have it at all. The config says for how long; a response can only make it less (RFC
// 9111 sections 3.5 and 5.2.2; RFC 6265 section 3: a cookie is for one user agent).
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

// seconds reads a number of them; what is none is 0.
func seconds(text string) time.Duration {
	n, err := strconv.ParseUint(strings.Trim(text, `" `), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
