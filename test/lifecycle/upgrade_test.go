//go:build linux

package lifecycle_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

func TestAnotherProcessTakesOverTheSockets(t *testing.T) {
	socket := t.TempDir() + "/weir.sock"
	config := write(t, "listen: [\":8080\", unix:"+socket+"]\nroutes:\n  GET /: respond:before\n")
	g := weirtest.Start(t, config)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if err := os.WriteFile(config, []byte("listen: [\":8080\", unix:"+socket+"]\nroutes:\n  GET /: respond:after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := g.Upgrade(t)
	await.That(t, "the process before has ended", func() bool { return weirtest.Gone(before) })
	if got := get(t, "http://"+g.Address+"/"); got != "after" {
		t.Errorf("got %q", got)
	}
	if res := status(t, client, "http://"+g.Admin+"/readyz"); res.StatusCode != http.StatusOK {
		t.Errorf("readyz: %d", res.StatusCode)
	}
	local := &http.Client{Transport: unixTransport(socket)}
	if res := status(t, local, "http://weir/"); res.StatusCode != http.StatusOK {
		t.Errorf("the Unix socket: %d", res.StatusCode)
	}
	second := g.Upgrade(t)                    // an upgraded process can be upgraded too
	http.DefaultClient.CloseIdleConnections() // the old process waits for them
	await.That(t, "the second process has ended", func() bool { return weirtest.Gone(second) })
	if got := get(t, "http://"+g.Address+"/"); got != "after" {
		t.Errorf("got %q", got)
	}
	g.Stop(t)
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket's file is still there")
	}
}

// The state folder belongs to the new process as soon as it begins, and no other process can take it in between.
func TestTheStateFolderIsHandedOver(t *testing.T) {
	config, state := write(t, "listen: \":8080\"\nroutes:\n  GET /: respond:one\n"), t.TempDir()+"/state"
	g := weirtest.Start(t, config, "--state", state)
	before := g.Upgrade(t)
	await.That(t, "the process before has ended", func() bool { return weirtest.Gone(before) })
	if log := g.Log(); strings.Contains(log, "nothing is kept") {
		t.Errorf("the new one does not have it:\n%s", log)
	}
	other := weirtest.Start(t, config, "--state", state)
	await.That(t, "a third one is told whose it is", func() bool {
		return strings.Contains(other.Log(), "in the hands of the process "+strconv.Itoa(g.PID())+" on ")
	})
}

func TestAnUpgradeThatFailsLeavesTheOldOneServing(t *testing.T) {
	slow := make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { <-slow }))
	defer backend.Close()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	socket := t.TempDir() + "/weir.sock"
	listen := "listen: [\":8080\", unix:" + socket
	config := write(t, listen+"]\nroutes:\n  GET /: respond:old\n  GET /slow: "+backend.URL+"\n")
	g := weirtest.Start(t, config, "--watch=false")
	under := make(chan int, 1)
	go func() {
		res, err := http.Get("http://" + g.Address + "/slow")
		if err != nil {
			under <- 0
			return
		}
		_ = res.Body.Close()
		under <- res.StatusCode
	}()
	pid, local := g.PID(), &http.Client{Transport: unixTransport(socket)}
	for _, bad := range []struct{ config, exit string }{
		{listen + "]\nroutes: nonsense\n", "exit status 2"},
		{listen + ", \"" + busy.Addr().String() + "\"]\nroutes:\n  GET /: respond:new\n", "exit status 1"},
	} {
		if err := os.WriteFile(config, []byte(bad.config), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		await.That(t, "the failure is told with "+bad.exit, func() bool {
			return strings.Contains(g.Log(), `the upgrade failed; this process serves on" error="the new process ended before it served: `+bad.exit)
		})
		if got := get(t, "http://"+g.Address+"/"); got != "old" || g.PID() != pid {
			t.Errorf("got %q", got)
		}
		if res := status(t, local, "http://weir/"); res.StatusCode != http.StatusOK {
			t.Errorf("the Unix socket: %d", res.StatusCode)
		}
	}
	close(slow)
	if got := <-under; got != http.StatusOK {
		t.Errorf("the request under way: %d", got)
	}
}

func TestFunctionsMoveToTheProcessThatTakesOver(t *testing.T) {
	g, program := startWithInstance(t)
	old := family(t, program)
	before := g.Upgrade(t)
	await.That(t, "the process before has ended with its function", func() bool {
		http.DefaultClient.CloseIdleConnections()     // the old process waits for them
		if get(t, "http://"+g.Address+"/pid") == "" { // whichever of the two processes answers
			t.Error("no answer")
		}
		left := family(t, program)
		return weirtest.Gone(before) && len(left) == 1 && left[0] != old[0]
	})
	g.Kill() // the guard of the new process still watches
	await.That(t, "no function is left", func() bool { return len(family(t, program)) == 0 })
}
