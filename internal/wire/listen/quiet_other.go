//go:build !linux

package listen

import (
	"errors"
	"net"
)

// Quiet is not possible here.
func Quiet(net.Listener) error { return errors.ErrUnsupported }

// Waiting returns nil, because no listener is Quiet here.
func Waiting(net.Listener) (net.Conn, error) { return nil, nil }
