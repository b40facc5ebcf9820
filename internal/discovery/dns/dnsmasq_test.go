//go:build unix

package dns

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/discovery"
)

// dnsmasq is a server of names that others have written.
type dnsmasq struct {
	t       *testing.T
	address string
	hosts   string
	process *exec.Cmd
	log     await.Text
}

func startDNSMasq(t *testing.T, hosts string, options ...string) *dnsmasq {
	t.Helper()
	binary, err := exec.LookPath("dnsmasq")
	if err != nil {
		if binary, err = exec.LookPath("/usr/sbin/dnsmasq"); err != nil {
			t.Skip("no dnsmasq here; `make deps` installs one")
		}
	}
	packets, streams := onePort(t)
	d := &dnsmasq{t: t, address: packets.LocalAddr().String(), hosts: filepath.Join(t.TempDir(), "hosts")}
	_, port, _ := net.SplitHostPort(d.address)
	write(t, d.hosts, hosts)
	if err := os.Chmod(filepath.Dir(d.hosts), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(d.hosts, 0o644); err != nil {
		t.Fatal(err)
	}
	d.process = exec.Command(binary, append([]string{ //nolint:noctx // a test's own options; it is ended below
		"--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--port=" + port, "--listen-address=127.0.0.1", "--bind-interfaces",
		"--no-resolv", "--no-hosts", "--addn-hosts=" + d.hosts, "--local=/internal/", "--log-facility=-", "--user=" + user(),
	}, options...)...)
	d.process.Stderr = &d.log
	_, _ = packets.Close(), streams.Close() // dnsmasq takes their place
	if err := d.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.end)
	await.That(t, "dnsmasq listens", func() bool {
		conn, err := net.Dial("tcp", d.address)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	})
	return d
}

// user is who dnsmasq is to be.
func user() string {
	if os.Getuid() == 0 {
		return "root"
	}
	return ""
}

func (d *dnsmasq) end() {
	if d.process.ProcessState == nil {
		_ = d.process.Process.Kill()
		_ = d.process.Wait()
	}
	if d.t.Failed() {
		d.t.Log(d.log.String())
	}
}

// change has it read other hosts.
func (d *dnsmasq) change(hosts string) {
	d.t.Helper()
	write(d.t, d.hosts, hosts)
	if err := d.process.Process.Signal(syscall.SIGHUP); err != nil {
		d.t.Fatal(err)
	}
}

func TestAgainstDNSMasq(t *testing.T) {
	var many strings.Builder
	for i := range 500 {
		_, _ = fmt.Fprintf(&many, "10.1.%d.%d many.internal\n", i/250, i%250)
	}
	d := startDNSMasq(t, "127.0.0.2 users.internal\n127.0.0.1 users.internal\nfd00::1 six.internal\n127.0.0.7 a.internal\n127.0.0.8 b.internal\n"+many.String(),
		"--cname=www.internal,users.internal", "--srv-host=_http._tcp.users.internal,a.internal,8081,10,3", "--srv-host=_http._tcp.users.internal,b.internal,8082,10,1",
		"--srv-host=_http._tcp.users.internal,spare.internal,8083,20,1",
	)
	h := machineOf(t, "", "")
	for ref, want := range map[string]string{
		"http://users.internal:80":      "127.0.0.1:80, 127.0.0.2:80",
		"http://www.internal:80":        "127.0.0.1:80, 127.0.0.2:80",
		"http://six.internal:80":        "[fd00::1]:80",
		"srv:_http._tcp.users.internal": "127.0.0.7:8081 *3, 127.0.0.8:8082",
	} {
		scheme, rest, _ := strings.Cut(ref, ":")
		r := h.run(t, source(scheme, rest, d.address))
		if got := show(r.next()); got != want {
			t.Errorf("%s: got %s, want %s", ref, got, want)
		}
		r.stop()
	}
	r := h.run(t, source("http", "//many.internal", d.address))
	if got := r.next(); len(got) != 500 {
		t.Errorf("%d of many", len(got))
	}
	r.stop()
	r = h.run(t, source("http", "//late.internal", d.address))
	if err := r.look(); err == nil || !strings.Contains(err.Error(), discovery.ErrAbsent.Error()) {
		t.Errorf("got %v", err)
	}
	d.change("127.0.0.9 late.internal\n")
	if got := show(r.next()); got != "127.0.0.9:80" {
		t.Errorf("when it is there: %s", got)
	}
	d.end()
	for r.look() == nil { // until it is seen that nobody is there
	}
	if len(r.sets) != 0 {
		t.Errorf("a server that is gone took the endpoints along: %s", show(<-r.sets))
	}
}
