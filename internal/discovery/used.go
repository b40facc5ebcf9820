package discovery

import (
	"context"
	"sync"
)

// Used runs something for as long as it has users, such as the watch that the services of a source share. The zero
// value is ready; Run is set before the first use.
type Used struct {
	// Run runs until ctx ends. It is called by one goroutine at a time, and may not call Use.
	Run func(ctx context.Context)

	mu    sync.Mutex // held while users come and go; Run never takes it
	users int
	stop  context.CancelFunc
	ended chan struct{}
}

// Use keeps it running until release is called. The release of the last user returns once Run has ended. release is
// called once.
func (u *Used) Use() (release func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.users++; u.users == 1 {
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan struct{})
		u.stop, u.ended = stop, ended
		go func() {
			defer close(ended)
			u.Run(ctx)
		}()
	}
	return u.release
}

func (u *Used) release() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.users--; u.users == 0 {
		u.stop()
		<-u.ended
	}
}
