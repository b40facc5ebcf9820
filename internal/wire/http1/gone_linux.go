package http1

import "golang.org/x/sys/unix"

// isHalfClosed reports whether the other end has closed its sending side, even if some of what it sent is still unread.
func isHalfClosed(fd int) bool {
	asked := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(asked, 0)
	return err == nil && n > 0 && asked[0].Revents != 0
}
