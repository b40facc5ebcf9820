package http1

import "golang.org/x/sys/unix"

// isHalfClosed tells whether the other end has closed its sending side, whatever is left
// to be read of what it sent.
func isHalfClosed(fd int) bool {
	asked := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(asked, 0)
	return err == nil && n > 0 && asked[0].Revents != 0
}
