//go:build linux

package lifecycle_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

// manager is the socket on which a service manager hears of its services.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func newManager(t *testing.T) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return &manager{t, conn}
}

// wants waits for the next message and fails where it does not begin with text.
func (m *manager) wants(text string) {
	m.t.Helper()
	if told := m.told(); !strings.HasPrefix(told, text) {
		m.t.Fatalf("the manager was told %q, want %q", told, text)
	}
}

// wantsBoth waits for two messages of two processes, which have no order.
func (m *manager) wantsBoth(one, other string) {
	m.t.Helper()
	first := m.told()
	if strings.HasPrefix(first, other) {
		one, other = other, one
	}
	second := m.told()
	if !strings.HasPrefix(first, one) || !strings.HasPrefix(second, other) {
		m.t.Fatalf("the manager was told %q and %q, want %q and %q", first, second, one, other)
	}
}

// told waits for the next message.
func (m *manager) told() string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		m.t.Fatal(err)
	}
	b := make([]byte, 1000)
	n, err := m.conn.Read(b)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(b[:n])
}

func TestTheServiceManagerIsTold(t *testing.T) {
	m := newManager(t)
	g := weirtest.Start(t, write(t, "listen: :8080\nroutes:\n  GET /: respond:ok\n"))
	m.wants("READY=1")
	if err := syscall.Kill(g.PID(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	m.wants("RELOADING=1\nMONOTONIC_USEC=")
	m.wants("READY=1")
	g.Upgrade(t)
	m.wantsBoth("READY=1", fmt.Sprintf("MAINPID=%d", g.PID())) // of the new process, and of the old
	g.Stop(t)
	m.wants("STOPPING=1")
}

// TestSocketsOfTheServiceManager starts weir as systemd does where sockets are
// activated: by name, and by address.
func TestSocketsOfTheServiceManager(t *testing.T) {
	var files []*os.File
	var addresses []string
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		file, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = file.Close() })
		files, addresses = append(files, file), append(addresses, l.Addr().String())
	}
	config := write(t, "admin: off\nlisten:\n  named: 192.0.2.1:80\n  bound: "+addresses[1]+"\nroutes:\n  GET /: respond:ok\n")
	shell := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", weirtest.Binary(t), "run", config, "--state", "off")
	shell.Env = append(os.Environ(), "LISTEN_FDS=3", "LISTEN_FDNAMES=named:weir.socket:other")
	shell.ExtraFiles = files
	var log await.Text
	shell.Stderr = &log
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	for _, address := range addresses[:2] {
		if res := status(t, client, "http://"+address+"/"); res.StatusCode != http.StatusOK { // it waits in the queue until weir serves
			t.Errorf("%s: %d", address, res.StatusCode)
		}
	}
	await.That(t, "the socket that is not in the config is told", func() bool {
		return strings.Contains(log.String(), "other ("+addresses[2]+")")
	})
	if err := shell.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := shell.Wait(); err != nil {
		t.Errorf("weir: %v", err)
	}
}
