//go:build linux

package lifecycle_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

// manager is the notification socket of a service manager.
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

// wants waits for the next message and fails if it does not begin with text.
func (m *manager) wants(text string) {
	m.t.Helper()
	if told := m.told(); !strings.HasPrefix(told, text) {
		m.t.Fatalf("the manager was told %q, want %q", told, text)
	}
}

// wantsBoth waits for two messages from two processes, in either order.
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
	m.wantsBoth("READY=1", fmt.Sprintf("MAINPID=%d", g.PID())) // from the new process, and from the old one
	g.Stop(t)
	m.wants("STOPPING=1")
}

// activated is a weir that systemd starts with socket activation.
type activated struct {
	*exec.Cmd

	log     await.Text
	out     await.Text
	sockets []net.Listener // the manager's own copies
}

// activate starts weir with sockets, and with a config that is given their addresses.
func activate(t *testing.T, names string, config func(addresses []string) string, sockets ...net.Listener) *activated {
	t.Helper()
	a := &activated{sockets: sockets}
	var files []*os.File
	var addresses []string
	for _, l := range sockets {
		t.Cleanup(func() { _ = l.Close() })
		file, err := l.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = file.Close() })
		files, addresses = append(files, file), append(addresses, l.Addr().String())
	}
	a.Cmd = exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", weirtest.Binary(t), "run", write(t, config(addresses)), "--state", "off")
	a.Env = append(os.Environ(), fmt.Sprint("LISTEN_FDS=", len(sockets)), "LISTEN_FDNAMES="+names)
	a.ExtraFiles, a.Stdout, a.Stderr = files, &a.out, &a.log
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	await.That(t, "weir serves", func() bool { return strings.Contains(a.out.String(), "serving on") })
	return a
}

// plainTCP listens as systemd does: without Multipath TCP.
func plainTCP(t *testing.T) net.Listener {
	t.Helper()
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// stop ends a process as systemd does.
func (a *activated) stop(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await.That(t, "it has ended", func() bool { return weirtest.Gone(pid) })
}

// wait checks that the first process ended successfully.
func (a *activated) wait(t *testing.T) {
	t.Helper()
	if err := a.Wait(); err != nil {
		t.Errorf("weir: %v\n%s", err, a.log.String())
	}
}

// answers checks that weir serves all sockets except the last but.
func (a *activated) answers(t *testing.T, but int) {
	t.Helper()
	for _, l := range a.sockets[:len(a.sockets)-but] {
		transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, l.Addr().Network(), l.Addr().String())
		}}
		client := &http.Client{Transport: transport, Timeout: time.Minute}
		if res := status(t, client, "http://weir/"); res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", l.Addr(), res.StatusCode)
		}
	}
}

// TestSocketsOfTheServiceManager has weir find its sockets by name, and by address.
func TestSocketsOfTheServiceManager(t *testing.T) {
	a := activate(t, "named:weir.socket:other", func(addresses []string) string {
		return "admin: off\nlisten:\n  named: 192.0.2.1:80\n  bound: " + addresses[1] + "\nroutes:\n  GET /: respond:ok\n"
	}, plainTCP(t), plainTCP(t), plainTCP(t))
	a.answers(t, 1)
	await.That(t, "the socket that is not in the config is told", func() bool {
		return strings.Contains(a.log.String(), "other ("+a.sockets[2].Addr().String()+")")
	})
	a.stop(t, a.Process.Pid)
	a.wait(t)
}

var startedOther = regexp.MustCompile(`the new process serves; this one ends" pid=(\d+)`)

// TestSocketsOfTheServiceManagerOutliveWeir restarts weir. The manager gives the same sockets to the next process, so
// they must still accept connections although weir has given them up, by itself or after another process took over.
func TestSocketsOfTheServiceManagerOutliveWeir(t *testing.T) {
	for name, upgrades := range map[string]int{"at its end": 0, "at the end of its successor": 2} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "weir.sock")
			local, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			a := activate(t, "public:local", func([]string) string {
				return "admin: off\nlisten:\n  public: 192.0.2.1:80\n  local: unix:/elsewhere\nroutes:\n  GET /: respond:ok\n"
			}, plainTCP(t), local)
			a.answers(t, 0)
			pid := a.Process.Pid
			for n := range upgrades {
				if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
					t.Fatal(err)
				}
				await.That(t, "another process serves", func() bool {
					told := startedOther.FindAllStringSubmatch(a.log.String(), -1)
					if len(told) <= n {
						return false
					}
					pid, err = strconv.Atoi(told[n][1])
					return err == nil
				})
				a.answers(t, 0)
			}
			a.stop(t, pid)
			a.wait(t)
			if _, err := os.Stat(path); err != nil {
				t.Errorf("the file of the manager's socket: %v", err)
			}
			for _, l := range a.sockets {
				conn, err := net.DialTimeout(l.Addr().Network(), l.Addr().String(), 10*time.Second)
				if err != nil {
					t.Errorf("the manager's socket takes no connections any more: %v", err)
					continue
				}
				_ = conn.Close()
			}
		})
	}
}
