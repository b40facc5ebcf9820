package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// noSYN is a socket filter that lets everything through except packets that begin a connection. It sees a packet from
// its TCP header on (RFC 9293 section 3.1).
var noSYN = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},                  // the flags
	{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jt: 0, Jf: 1, K: 0x2}, // SYN
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},
}

// Quiet makes a listener take no further connections, before it is closed: what is in its queue when it is closed could
// be reset by the kernel. Clients that connect meanwhile try again (TCP) or are refused, and find it closed. Waiting
// returns what waits in its queue. The error is errors.ErrUnsupported for a socket that others hold too, such as a
// service manager, and that must go on listening; nothing has happened then.
func Quiet(l net.Listener) error {
	switch l := l.(type) {
	case *net.TCPListener:
		program := unix.SockFprog{Len: uint16(len(noSYN)), Filter: &noSYN[0]}
		return control(l, func(fd int) error {
			return unix.SetsockoptSockFprog(fd, syscall.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
		})
	case *net.UnixListener:
		return control(l, func(fd int) error { return unix.Shutdown(fd, unix.SHUT_RD) })
	default:
		return fmt.Errorf("quiet %s: %w", l.Addr(), errors.ErrUnsupported)
	}
}

// Waiting takes a connection that waits in the queue of a listener that is Quiet, whatever its deadline; nil if there
// is none.
func Waiting(l net.Listener) (net.Conn, error) {
	var accepted int
	err := control(l, func(fd int) (err error) {
		accepted, _, err = unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		return err
	})
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINVAL): // the latter for a Unix socket that was shut down
		return nil, nil
	case err != nil:
		return nil, err
	}
	file := os.NewFile(uintptr(accepted), "")
	defer func() { _ = file.Close() }() // the connection has a copy
	c, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("accept on %s: %w", l.Addr(), err)
	}
	return c, nil
}

// control calls do with the file descriptor of l.
func control(l net.Listener, do func(fd int) error) error {
	conn, ok := l.(syscall.Conn)
	if !ok {
		return fmt.Errorf("listener %s: %w", l.Addr(), errors.ErrUnsupported)
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		controlErr := raw.Control(func(fd uintptr) { err = do(int(fd)) })
		err = errors.Join(err, controlErr)
	}
	if err != nil {
		return fmt.Errorf("listener %s: %w", l.Addr(), err)
	}
	return nil
}
