package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weir-gateway/weir/internal/discovery"
)

// provider finds the endpoints of one service.
type provider struct {
	source *source
	env    discovery.Env
	prefix string // of its keys
}

// Run follows the keys in one session after the other.
func (p *provider) Run(ctx context.Context, set func([]discovery.Endpoint)) error {
	defer p.source.used.Use()()
	f := &following{
		provider: p, view: view{prefix: p.prefix, log: p.env.Log, doubt: p.source.doubt, entries: map[string]entry{}},
		teller: discovery.Teller{Env: p.env, Set: set, Emptied: discovery.Emptied{Doubt: p.source.doubt}}, settle: time.NewTimer(time.Hour),
	}
	defer f.settle.Stop()
	for {
		session, changed, err := p.source.now()
		if session != nil {
			err = f.through(ctx, session)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			f.teller.Looked(err)
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return nil
			case <-f.settle.C:
				f.tell()
			case <-changed:
				waiting = false
			}
		}
	}
}

// following is the state of a provider while it runs.
type following struct {
	*provider

	teller discovery.Teller
	view   view
	begun  bool        // the last watch has begun, so that the next one need not read all keys
	settle *time.Timer // fires when a doubt must be checked again
}

// deniedPause is the pause after etcd has denied the user access to the keys of a service.
const deniedPause = 15 * time.Second

// errAgain says that all keys have to be read again.
var errAgain = errors.New("what the watch wanted is gone")

// through follows the keys until the session has failed, or ctx ends.
func (f *following) through(ctx context.Context, s *session) error {
	for whole := !f.begun; ; whole = true {
		err := f.once(ctx, s, whole)
		if err != nil && s.failure() != nil || ctx.Err() != nil {
			return s.failure()
		}
		wait := shortestPause
		if !errors.Is(err, errAgain) { // it concerns only this service
			f.teller.Looked(err)
			wait = deniedPause
		}
		select {
		case <-time.After(wait):
		case <-s.done:
			return s.failure()
		case <-ctx.Done():
			return nil
		}
	}
}

// once reads all keys if needed, and watches from there.
func (f *following) once(ctx context.Context, s *session, whole bool) error {
	if whole {
		found, err := s.read(ctx, f.prefix)
		if err != nil {
			return err
		}
		f.view.read(time.Now(), found)
		f.tell()
	}
	f.begun = false
	w := s.watch(f.prefix, f.view.revision+1)
	defer w.end()
	began := time.AfterFunc(answerTime, func() { s.fail(fmt.Errorf("no word of a watch within %v", answerTime)) })
	defer began.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.done:
			return s.failure()
		case <-f.settle.C:
			f.tell()
		case <-w.ready:
			began.Stop()
			if err := f.hear(s, w.take()); err != nil {
				return err
			}
			f.tell()
		}
	}
}

// hear processes the responses of a watch.
func (f *following) hear(s *session, list []watchResponse) error {
	for _, r := range list {
		switch {
		case r.compacted > 0:
			f.env.Log.Info("etcd has compacted what was not heard yet; all keys are read again", "compacted", r.compacted, "seen", f.view.revision)
			return errAgain
		case r.canceled && r.reason == denied:
			return fmt.Errorf("%s: %s", s.server, discovery.Line(r.reason))
		case r.canceled: // for example when a token has expired: another session has another one
			s.fail(fmt.Errorf("it has ended a watch: %s", discovery.Line(r.reason)))
			return s.failure()
		case f.view.broken(r.header): // a member that lags behind may also look like this
			return errAgain
		case r.created:
			f.begun = true
		default:
			f.view.apply(r)
		}
	}
	return nil
}

// denied is the reason of a watch that is cancelled because the user has no permission (rpctypes.ErrPermissionDenied).
const denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied"

// tell passes on the set if it has changed, and reports how looking at the source goes.
func (f *following) tell() {
	list, again := f.view.set(time.Now())
	if wait := max(again, f.teller.Found(list, "key below "+f.prefix)); wait > 0 {
		f.settle.Reset(wait)
	}
}
