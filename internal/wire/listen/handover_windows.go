package listen

import (
	"errors"
	"net"
	"os"
)

var errNoHandover = errors.New("sockets cannot be handed over on Windows")

// Parcel is empty on Windows.
type Parcel struct{}

// Add fails.
func (*Parcel) Add(string, net.Listener) error { return errNoHandover }

// Token does nothing.
func (*Parcel) Token(*os.File) {}

// Close does nothing.
func (*Parcel) Close() {}

// Send fails.
func (*Parcel) Send(string, []string) (*Successor, error) { return nil, errNoHandover }

// Successor is never made.
type Successor struct{}

// PID returns 0.
func (*Successor) PID() int { return 0 }

// Await fails.
func (*Successor) Await() error { return errNoHandover }

// Abandon does nothing.
func (*Successor) Abandon() {}

func keepFromChildren(*os.File) {}
