package register

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/base/registry/remote"
)

// lease is the place of one start of a program in the registry.
type lease struct {
	*run

	body  []byte
	every time.Duration // between two heartbeats
	life  context.Context
	over  context.CancelFunc
	done  chan struct{}
	lost  bool // the registry has not answered the latest one
}

func newLease(r *run, port int) *lease {
	i := r.Instance
	ttl := cmp.Or(i.TTL, registry.DefaultTTL)
	l := &lease{run: r, every: ttl / 3, done: make(chan struct{})}
	says := map[string]any{"port": port, "ttl": ttl.String()}
	for name, text := range map[string]string{"address": i.Address, "zone": i.Zone, "version": i.Version} {
		if text != "" {
			says[name] = text
		}
	}
	if i.Weight >= 0 {
		says["weight"] = i.Weight
	}
	if len(i.Tags) > 0 {
		says["tags"] = i.Tags
	}
	l.body, _ = json.Marshal(says) // numbers and texts always encode
	l.life, l.over = context.WithCancel(context.Background())
	return l
}

// The pauses between two attempts to register while the registry does not answer.
const (
	firstTry = 100 * time.Millisecond
	mostTry  = 2 * time.Second
)

// begin registers, and tries again while the registry does not answer. The error is one that
// trying again does not mend.
func (l *lease) begin(ctx context.Context) error {
	pause := firstTry
	for told := false; ; told = true {
		err := l.Registry.Put(ctx, l.Service, l.id, l.body)
		if err == nil {
			l.Log.Info("registered", "service", l.Service, "instance", l.id)
			return nil
		}
		refused, ok := errors.AsType[*remote.RefusedError](err)
		switch {
		case ok && refused.Lasting():
			return fmt.Errorf("register %s: %w", l.Service, err)
		case ctx.Err() != nil:
			return nil //nolint:nilerr // nobody wants it registered any more
		case !told:
			l.Log.Warn("the registry cannot be asked; it is tried again", "error", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		pause = min(2*pause, mostTry)
	}
}

// keep says that the program lives until end is called.
func (l *lease) keep() {
	defer close(l.done)
	wait := l.every
	for {
		timer := time.NewTimer(wait)
		select {
		case <-l.life.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if l.beat(); l.lost {
			wait = min(l.every, time.Second)
		} else {
			wait = l.every
		}
	}
}

// beat sends one heartbeat, and registers again where the registry does not know it.
func (l *lease) beat() {
	err := l.Registry.Heartbeat(l.life, l.Service, l.id)
	unknown := errors.Is(err, registry.ErrUnknown)
	if unknown {
		err = l.Registry.Put(l.life, l.Service, l.id, l.body)
	}
	switch {
	case l.life.Err() != nil:
	case err != nil && !l.lost:
		l.lost = true
		l.Log.Warn("the registry does not answer; it is tried again", "error", err)
	case err == nil && unknown:
		l.lost = false
		l.Log.Info("the registry did not know this instance any more, and does again", "service", l.Service, "instance", l.id)
	case err == nil && l.lost:
		l.lost = false
		l.Log.Info("the registry answers again")
	}
}

// leaveTime bounds how long the registry is asked to forget the program.
const leaveTime = 3 * time.Second

// end takes the program out of the registry. No heartbeat comes after that.
func (l *lease) end() {
	l.over()
	<-l.done
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	err := l.Registry.Remove(ctx, l.Service, l.id)
	if err != nil && ctx.Err() == nil {
		err = l.Registry.Remove(ctx, l.Service, l.id)
	}
	if err != nil {
		l.Log.Warn("the registry could not be told; it lets go of the instance by itself", "error", err)
		return
	}
	l.Log.Info("deregistered", "service", l.Service, "instance", l.id)
}
