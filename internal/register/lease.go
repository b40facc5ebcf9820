package register

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
	"github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/discovery/registry/remote"
)

// lease is the registration of one start of a program.
type lease struct {
	*run

	body    []byte
	every   time.Duration // between two heartbeats
	life    context.Context
	over    context.CancelFunc
	done    chan struct{}
	refused chan error // why the registry will never accept the registration
	known   bool       // it was registered at least once
	told    string     // the last problem that was logged; "": none
}

func newLease(r *run, port int) *lease {
	i := r.Instance
	ttl := cmp.Or(i.TTL, registry.DefaultTTL)
	l := &lease{run: r, every: ttl / 3, done: make(chan struct{}), refused: make(chan error, 1)}
	says := map[string]any{"port": port, "ttl": ttl.String()}
	if i.Address.IsValid() {
		says["address"] = i.Address.String()
	}
	for name, text := range map[string]string{"zone": i.Zone, "version": i.Version} {
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
	l.body, _ = json.Marshal(says) // numbers and strings always encode
	l.life, l.over = context.WithCancel(context.Background())
	return l
}

// The pauses between two attempts to register while the registry does not answer.
const (
	firstTry = 100 * time.Millisecond
	mostTry  = 2 * time.Second
)

// keep registers the program and sends heartbeats until end is called.
func (l *lease) keep() {
	defer close(l.done)
	if !l.begin() {
		return
	}
	for wait := l.every; backoff.Wait(l.life, wait); {
		wait = l.every
		if !l.beat() {
			wait = min(wait, time.Second)
		}
	}
}

// begin registers the program, and tries again while the registry cannot accept it. If trying again cannot help, it
// sends the reason to refused.
func (l *lease) begin() bool {
	for pauses := backoff.New(firstTry, mostTry); ; {
		err := l.Registry.Put(l.life, l.Service, l.id, l.body)
		if err == nil {
			l.known, l.told = true, ""
			l.Log.Info("registered", "service", l.Service, "instance", l.id)
			return true
		}
		if refused, ok := errors.AsType[*remote.RefusedError](err); ok && refused.Lasting() {
			l.refused <- fmt.Errorf("register %s: %w", l.Service, err)
			return false
		}
		l.tell("the registry cannot be asked; it is tried again", slog.LevelWarn, err)
		if !backoff.Wait(l.life, pauses.Next()) {
			return false
		}
	}
}

// beat sends one heartbeat, and registers the program again if the registry does not know it. It reports whether the
// registry has accepted it.
func (l *lease) beat() bool {
	err := l.Registry.Heartbeat(l.life, l.Service, l.id)
	unknown := errors.Is(err, registry.ErrUnknown)
	if unknown {
		err = l.Registry.Put(l.life, l.Service, l.id, l.body)
	}
	switch {
	case l.life.Err() != nil:
		return false
	case err != nil:
		l.troubled(err)
		return false
	}
	if l.told != "" {
		l.told = ""
		l.Log.Info("the registry takes the instance again", "service", l.Service, "instance", l.id)
	}
	if unknown {
		l.Log.Info("the registry did not know this instance any more, and does again", "service", l.Service, "instance", l.id)
	}
	return true
}

// troubled logs why the registry has not accepted a heartbeat. Every failure is retried, because what the registry
// refuses now it may be allowed to accept later.
func (l *lease) troubled(err error) {
	refused, ok := errors.AsType[*remote.RefusedError](err)
	switch {
	case ok && (refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden):
		l.tell("the registry refuses the token, and lets go of the instance after its ttl; give a token that counts by --token-file or WEIR_REGISTRY_TOKEN, and start this again", slog.LevelError, err)
	case ok && refused.Lasting():
		l.tell("the registry refuses the instance, and lets go of it after its ttl", slog.LevelError, err)
	case ok:
		l.tell("the registry cannot take it now; it is tried again", slog.LevelWarn, err)
	default:
		l.tell("the registry does not answer; it is tried again", slog.LevelWarn, err)
	}
}

// tell logs a problem once for as long as it lasts.
func (l *lease) tell(what string, level slog.Level, err error) {
	if l.life.Err() == nil && l.told != what {
		l.told = what
		l.Log.Log(l.life, level, what, "error", err)
	}
}

// leaveTime bounds the attempt to remove the program from the registry.
const leaveTime = 3 * time.Second

// end removes the program from the registry. No heartbeat is sent after that.
func (l *lease) end() {
	l.over()
	<-l.done
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	err := l.Registry.Remove(ctx, l.Service, l.id) // even if no registration was confirmed: the answer may have been lost
	switch {
	case err == nil:
		l.Log.Info("deregistered", "service", l.Service, "instance", l.id)
	case l.known:
		l.Log.Warn("the registry could not be told; it lets go of the instance by itself", "error", err)
	}
}
