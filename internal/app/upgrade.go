package app

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/weir-gateway/weir/internal/wire/listen"
)

// upgradeTime is how long another process may take until it serves.
const upgradeTime = 2 * time.Minute

var errTooSlow = errors.New("it did not serve in time")

// upgrade is the attempt of another process to take over. It belongs to the goroutine that calls its methods.
type upgrade struct {
	next  *listen.Successor // nil while there is none
	done  chan error        // receives once, when next serves or has ended
	timer *time.Timer
}

// begin starts the other process, unless one is already starting.
func (u *upgrade) begin(a *App) {
	if u.next != nil {
		a.options.Log.Warn("an upgrade is under way already", "pid", u.next.PID())
		return
	}
	next, err := a.send()
	if err != nil {
		a.options.Log.Error("the upgrade failed; this process serves on", "error", err)
		return
	}
	a.options.Log.Info("a new process is started to take over", "program", a.options.Program, "pid", next.PID())
	u.next, u.done = next, make(chan error, 1)
	u.timer = time.AfterFunc(upgradeTime, next.Abandon)
	go func() { u.done <- next.Await() }() // it returns when the process ends or serves
}

// send starts the other process with all sockets.
func (a *App) send() (*listen.Successor, error) {
	var parcel listen.Parcel
	defer parcel.Close()
	if err := a.reconciler.Pack(&parcel); err != nil {
		return nil, err
	}
	if a.admin != nil {
		if err := parcel.Add(adminKey, a.admin.listener); err != nil {
			return nil, err
		}
	}
	parcel.Token(a.options.StateLock.File())
	return parcel.Send(a.options.Program, a.options.Arguments)
}

// finish returns the process that serves now, or nil if it failed with err.
func (u *upgrade) finish(a *App, err error) *listen.Successor {
	next := u.next
	if !u.timer.Stop() && err != nil {
		err = errors.Join(errTooSlow, err)
	}
	u.next, u.done = nil, nil
	if err != nil {
		a.options.Log.Error("the upgrade failed; this process serves on", "error", err)
		return nil
	}
	return next
}

// end ends a process that has not taken over.
func (u *upgrade) end(a *App) {
	if u.next == nil {
		return
	}
	u.timer.Stop()
	u.next.Abandon()
	a.options.Log.Info("the process that should have taken over is ended too", "reason", <-u.done)
}

// handOver ends this process, whose sockets now belong to the other one. The admin API ends first, because the other
// process answers its requests too.
func (a *App) handOver(next *listen.Successor) {
	a.stopWatching()
	a.leaving.Store(true)
	a.options.Queue.Release()    // the other process waits for it, and its clients do too
	a.options.Registry.Release() // so do clients that register
	a.options.Log.Info("the new process serves; this one ends", "pid", next.PID())
	a.notify("MAINPID=" + strconv.Itoa(next.PID()))
	if a.admin != nil {
		a.admin.leave()
	}
	a.unshelve() // the other process uses what is kept too
	ctx, cancel := context.WithTimeout(context.Background(), a.Drain())
	defer cancel()
	a.reconciler.HandOver(ctx)
	a.options.Queue.Close()
	a.options.Registry.Close()
}
