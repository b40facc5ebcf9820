package listen

import (
	"errors"

	"golang.org/x/sys/windows"
)

func isAddressInUse(err error) bool { return errors.Is(err, windows.WSAEADDRINUSE) }

func isRefused(err error) bool { return errors.Is(err, windows.WSAECONNREFUSED) }

// isExhausted tells an accept that failed for want of something that comes back.
func isExhausted(err error) bool {
	return errors.Is(err, windows.WSAEMFILE) || errors.Is(err, windows.WSAENOBUFS)
}

// isPassing tells an accept that failed by the fault of one connection only.
func isPassing(err error) bool {
	return errors.Is(err, windows.WSAECONNRESET) || errors.Is(err, windows.WSAECONNABORTED)
}
