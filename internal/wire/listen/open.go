package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// socketMode lets the owner and the group of the socket's directory connect, and nobody else.
const socketMode = 0o660

// Open binds address: "host:port", ":port" (every address of the machine) or "unix:/path". A socket file on which no
// process answers is left over from a process that died, and is replaced. The caller closes the listener.
func Open(ctx context.Context, address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return openUnix(ctx, path)
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fmt.Errorf("listen on %q: %w; write host:port, :port or unix:/path", address, err)
	}
	config := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true}}
	config.SetMultipathTCP(false) // Go's default on Linux, whose sockets cannot be made Quiet
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, explain(address, err)
	}
	return listener, nil
}

// explain says what a failed bind means and what to do about it.
func explain(address string, err error) error {
	_, port, _ := net.SplitHostPort(address) // was checked
	switch {
	case isAddressInUse(err):
		return fmt.Errorf("listen on %s: %w; another weir or another server has the port, and "+
			"`ss -ltnp 'sport = :%s'` (or `lsof -i :%s`) names it; end that one, or choose another port", address, reason(err), port, port)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("listen on %s: %w; ports below 1024 need the capability CAP_NET_BIND_SERVICE; "+
			"give it to weir, or choose a higher port", address, reason(err))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listen on %s: %w; this machine does not have that address; choose one that it has", address, reason(err))
	default:
		return fmt.Errorf("listen on %s: %w", address, reason(err))
	}
}

// reason returns err without the address that net repeats in it.
func reason(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

func openUnix(ctx context.Context, path string) (net.Listener, error) {
	if path == "" {
		return nil, errors.New("listen on unix: there is no path; write unix:/path")
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, fmt.Errorf("listen on unix:%s: %w", path, err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on unix:%s: %w", path, err)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on unix:%s: %w", path, err), listener.Close())
	}
	return listener, nil
}

const probeTime = time.Second

// removeStale removes the socket file of a process that is gone. It never removes a file that is not a socket, nor one
// on which a process answers.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the socket file: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is a file of that name that is no socket; remove it or choose another path")
	}
	dialer := net.Dialer{Timeout: probeTime}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close() // only whether it answers matters
		return errors.New("another process answers on this socket; stop it or choose another path")
	}
	if !isRefused(err) {
		return fmt.Errorf("cannot tell whether another process uses the socket: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the socket file of a process that is gone: %w", err)
	}
	return nil
}
