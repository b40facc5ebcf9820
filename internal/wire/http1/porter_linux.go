package http1

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// parks tells whether this system can have a porter.
const parks = true

// mostHeard is how many sockets one epoll_wait call reports at most.
const mostHeard = 128

// porter waits for many sockets in one goroutine, with an epoll instance (epoll(7)) that the runtime's own poller
// watches like any file. It reports each socket once.
type porter struct {
	file  *os.File // the epoll instance; a read waits until something has arrived on a socket
	epoll syscall.RawConn
}

func newPorter() (*porter, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	err = unix.SetNonblock(fd, true) // this tells the runtime that it can poll the file
	file := os.NewFile(uintptr(fd), "epoll")
	if err == nil {
		err = file.SetReadDeadline(time.Time{}) // fails if the runtime cannot poll it
	}
	var epoll syscall.RawConn
	if err == nil {
		epoll, err = file.SyscallConn()
	}
	if err != nil {
		_ = file.Close() // it was not used
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &porter{file, epoll}, nil
}

// watch makes run report a socket, once, when there is something to read or its end has come. It returns the descriptor
// that run passes to tell. The system forgets a socket when it is closed.
func (p *porter) watch(socket syscall.RawConn) (fd int32, err error) {
	failed := socket.Control(func(s uintptr) {
		fd = int32(s)
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: fd}
		controlled := p.epoll.Control(func(e uintptr) {
			err = unix.EpollCtl(int(e), unix.EPOLL_CTL_MOD, int(s), &event)
			if errors.Is(err, unix.ENOENT) { // the socket is watched for the first time
				err = unix.EpollCtl(int(e), unix.EPOLL_CTL_ADD, int(s), &event)
			}
		})
		if controlled != nil {
			err = controlled
		}
	})
	if failed != nil {
		err = failed
	}
	return fd, err
}

// run reports sockets to tell until the porter is closed.
func (p *porter) run(tell func(fds []int32)) {
	var events [mostHeard]unix.EpollEvent
	fds := make([]int32, 0, mostHeard)
	for {
		n := 0
		if p.epoll.Read(func(e uintptr) bool {
			n, _ = unix.EpollWait(int(e), events[:], 0) // if interrupted, it is called again
			return n > 0
		}) != nil {
			return
		}
		fds = fds[:0]
		for _, event := range events[:n] {
			fds = append(fds, event.Fd)
		}
		tell(fds)
	}
}

// takeNow reads what has arrived on a socket, which may be nothing, and reports whether more may come.
func takeNow(socket syscall.RawConn, p []byte) (n int, goesOn bool) {
	var errno syscall.Errno
	if socket.Control(func(fd uintptr) { n, errno = ignoringSignals(readNow, int(fd), p) }) != nil {
		return 0, false
	}
	return n, n > 0 || errno == unix.EAGAIN
}

func (p *porter) close() { _ = p.file.Close() } // run then returns
