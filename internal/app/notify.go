package app

import (
	"net"
	"os"
	"strings"
	"time"
)

// notifyTime bounds a message to the service manager, whose socket may be full.
const notifyTime = time.Second

// notify tells the service manager about this process (sd_notify(3)): lines of
// NAME=VALUE. Where there is none, nothing happens.
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

// served tells everybody who waits for it that this process serves.
func (a *App) served() {
	if rest := a.options.Inherited.Rest(); len(rest) > 0 {
		a.options.Log.Warn("sockets that the process was started with are closed, for no listener has their address or name", "sockets", rest)
	}
	if err := a.options.Inherited.Ready(); err != nil {
		a.options.Log.Warn("the process before could not be told that this one serves", "error", err)
	}
	a.notify("READY=1")
}

// reload reads the input again because somebody asked for it, who is told.
func (a *App) reload() {
	a.notify(append([]string{"RELOADING=1"}, monotonic()...)...)
	a.read()
	a.notify("READY=1")
}
