package app

import (
	"net"
	"os"
	"strings"
	"time"
)

// notifyTime is the timeout of a message to the service manager, whose socket may be full.
const notifyTime = time.Second

// notify sends the service manager lines of NAME=VALUE about this process (sd_notify(3)). Without a service manager it
// does nothing.
func (a *App) notify(lines ...string) {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return
	}
	if err := send(address, strings.Join(lines, "\n")); err != nil {
		a.options.Log.Warn("the service manager could not be told", "what", lines[0], "error", err)
	}
}

func send(address, text string) error {
	conn, err := net.DialTimeout("unixgram", address, notifyTime) //nolint:gosec // G704: who sets our environment may have us say this anywhere
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(notifyTime)); err != nil {
		return err
	}
	_, err = conn.Write([]byte(text))
	return err
}

// served tells the process before this one, if there is one, and the service manager that this process serves.
func (a *App) served() {
	if rest := a.options.Inherited.Rest(); len(rest) > 0 {
		a.options.Log.Warn("sockets that the process was started with are closed, for no listener has their address or name", "sockets", rest)
	}
	if err := a.options.Inherited.Ready(); err != nil {
		a.options.Log.Warn("the process before could not be told that this one serves", "error", err)
	}
	a.notify("READY=1")
}

// reload reads the input again on request, and tells the service manager about it.
func (a *App) reload() {
	a.notify(append([]string{"RELOADING=1"}, monotonic()...)...)
	a.read()
	a.notify("READY=1")
}
