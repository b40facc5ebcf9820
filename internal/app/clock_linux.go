package app

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// monotonic returns the time of a message, as Type=notify-reload requires it (systemd.service(5)).
func monotonic() []string {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return nil
	}
	return []string{fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000)}
}
