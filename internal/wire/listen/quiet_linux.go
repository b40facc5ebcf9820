package listen

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// noSYN is a socket filter that lets everything through but what begins a
// connection. It sees a packet from its TCP header on (RFC 9293 section 3.1).
var noSYN = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},                  // the flags
	{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jt: 0, Jf: 1, K: 0x2}, // SYN
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},
}

// Quiet makes a listener take no further connections, before it is closed: what
// is in its queue then could be reset by the kernel. Clients that try meanwhile try
// again, and find it closed. Where that is not possible, nothing happens.
func Quiet(l net.Listener) error {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err == nil {
		program := unix.SockFprog{Len: uint16(len(noSYN)), Filter: &noSYN[0]}
		controlErr := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptSockFprog(int(fd), syscall.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
		})
		if err == nil {
			err = controlErr
		}
	}
	if err != nil {
		return fmt.Errorf("quiet %s: %w", l.Addr(), err)
	}
	return nil
}
