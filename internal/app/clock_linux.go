package app

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// monotonic is when something was told, as Type=notify-reload asks for it
// (systemd.service(5)).
func monotonic() []string {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return nil
	}
	return []string{fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000)}
}
