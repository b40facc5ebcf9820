package remote

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/base/registry"
)

// Event is one line of a watch.
type Event struct {
	Name     string // reset, put, delete, synced, heartbeat, or an event of a newer registry
	Revision string // from which the watch can continue; "": none
	Entry    registry.Entry
	// Service and ID are those of a removed instance, or of one that cannot be read.
	Service, ID string
	// Unread is why the instance of a put cannot be read and is not in Entry; nil: it is. A newer registry may send
	// instances that this program does not understand.
	Unread  error
	Settled bool
}

// longestLine limits a line of a watch, in bytes.
const longestLine = registry.LongestEntry + 1<<10

var errSilent = errors.New("the registry was silent for too long")

// Watch follows all instances from a revision, "" for the full state, and calls tell for each event until the
// connection or ctx ends. It never returns nil; errors.Is recognises registry.ErrCompacted.
func (c *Client) Watch(ctx context.Context, from string, tell func(Event)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	path := "watch"
	if from != "" {
		path += "?from=" + url.QueryEscape(from)
	}
	r, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	res, err := c.client.Do(r)
	if err != nil {
		return plain(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
		return errors.Join(refused(res.StatusCode, text), err)
	}
	timer := time.AfterFunc(c.silence, func() { cancel(errSilent) })
	defer timer.Stop()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 0, 4<<10), longestLine)
	for lines.Scan() {
		timer.Reset(c.silence)
		e, err := ParseEvent(lines.Bytes())
		if err != nil {
			return err
		}
		tell(e)
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.EOF
}

// ParseEvent reads one line of a watch.
func ParseEvent(line []byte) (Event, error) {
	v, err := jsonx.Parse(line, jsonx.Options{MaxBytes: longestLine, MaxDepth: 16, Unique: true})
	if err != nil || v.Kind() != jsonx.Object {
		return Event{}, errors.New("the registry sends what is no event")
	}
	text := func(name string) string { m, _ := v.Get(name); return m.Text() }
	settled, _ := v.Get("settled")
	e := Event{Name: text("event"), Revision: text("revision"), Settled: settled.Bool()}
	switch e.Name {
	case "put":
		instance, _ := v.Get("instance")
		if e.Entry, err = registry.EntryOf(instance); err != nil {
			service, _ := instance.Get("service")
			id, _ := instance.Get("id")
			e.Service, e.ID, e.Unread = service.Text(), id.Text(), err
			if err := cmp.Or(registry.CheckName("service", e.Service), registry.CheckName("id", e.ID)); err != nil {
				return Event{}, fmt.Errorf("the registry sends an instance that cannot be read: %w", err)
			}
		}
	case "delete":
		e.Service, e.ID = text("service"), text("id")
	}
	return e, nil
}
