package abuse_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

var full = flag.Bool("full", false, "attack at full strength, nginx too, and print what it costs") //nolint:gochecknoglobals // that is what flags are

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		weirtest.Cleanup()
		os.Exit(code)
	}))
}

// TestFloodsEnd checks how many frames of each kind one connection survives.
func TestFloodsEnd(t *testing.T) {
	weir := startWeir(t, backend(t))
	for _, f := range floods() {
		t.Run(f.name, func(t *testing.T) {
			c := dialHTTP2(t, weir.secure)
			defer c.conn.Close()
			got := f.run(c, min(f.times, 2*f.within), true)
			// A few frames are still under way when the server sends GOAWAY, and passing time allows more. The tests
			// of package listen check the exact numbers.
			if !got.over || got.frames > f.within*3/2 {
				t.Errorf("%v, want the end within %d frames", got, f.within)
			}
			if f.calm && got.said != http2.ErrCodeEnhanceYourCalm.String() {
				t.Errorf("the server said %s", got.said)
			}
		})
	}
}

// TestSlowClientsAreCutOff checks that all clients that take for ever are cut off, and that requests of slow senders
// never reach a backend.
func TestSlowClientsAreCutOff(t *testing.T) {
	for _, s := range slows() {
		t.Run(s.name, func(t *testing.T) {
			if !s.reads && !*full {
				t.Skip("it takes more than a minute; -full plays it")
			}
			t.Parallel()
			var requests atomic.Int64
			weir := startWeir(t, countingBackend(t, &requests))
			c := gather(t, weir.plain, 50, s)
			defer c.disperse()
			if n := connections(weir.plain); n == 0 {
				t.Fatal("there is no connection")
			}
			deadline := time.Now().Add(3 * time.Minute)
			for connections(weir.plain) > 0 && time.Now().Before(deadline) {
				<-time.After(100 * time.Millisecond)
			}
			if n := connections(weir.plain); n > 0 {
				t.Errorf("%d of 50 are still there", n)
			}
			if n := requests.Load(); s.reads && n > 0 {
				t.Errorf("%d requests have reached the backend", n)
			}
		})
	}
}

// TestSlowClientsCostLittle checks how much memory each client of a waiting crowd takes at most, including the cost
// of refusing it.
func TestSlowClientsCostLittle(t *testing.T) {
	if weirtest.RaceEnabled {
		t.Skip("it would weigh the race detector; `make engine` runs it without")
	}
	const crowd, each = 500, 16 << 10 // in bytes; it is 8 KB for a head, and 11 KB for content
	for _, s := range slows() {
		if !s.reads {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			weir := startWeir(t, backend(t))
			weir.warm(t)
			before := weir.processes.memory()
			c := gather(t, weir.plain, crowd, s)
			defer c.disperse()
			var most int64
			await.That(t, "all are cut off", func() bool {
				most = max(most, weir.processes.memory().less(before).anonymous)
				return connections(weir.plain) == 0
			})
			if most > crowd*each {
				t.Errorf("%.1f kB for each client, want %.1f at most", float64(most)/crowd/1e3, each/1e3)
			}
			t.Logf("%.1f kB each", float64(most)/crowd/1e3)
		})
	}
}

// TestAgainstNginx runs every attack at full strength against Weir and nginx, and prints the results.
func TestAgainstNginx(t *testing.T) {
	if !*full {
		t.Skip("it takes a quarter of an hour; `make bench-abuse` runs it")
	}
	address := backend(t)
	starts := []start{startWeir, startNginx}
	var report strings.Builder
	report.WriteString("| flood on one TLS connection | weir: ended by, at full speed | frame by frame | CPU, memory | nginx: ended by, at full speed | frame by frame | CPU, memory |\n|---|---|---|---|---|---|---|\n")
	for _, f := range floods() {
		fmt.Fprintf(&report, "| %s, %d times |", f.name, f.times)
		for _, start := range starts {
			t.Run(f.name, func(t *testing.T) {
				s := start(t, address)
				s.warm(t)
				w := watch(t, s.processes)
				c := dialHTTP2(t, s.secure)
				fast := f.run(c, f.times, false)
				_ = c.conn.Close() // the attack is over
				<-c.ended
				cost := w.end(t)
				c = dialHTTP2(t, s.secure)
				slowly := f.run(c, min(f.times, 5000), true)
				_ = c.conn.Close()
				<-c.ended
				fmt.Fprintf(&report, " %v | %v | %v |", fast, slowly, cost)
				await.That(t, "no connection is held", func() bool { return connections(s.secure) == 0 })
			})
		}
		report.WriteString("\n")
	}
	report.WriteString("\n| 500 connections, plain HTTP | | open after 3, 12, 32, 65, 100 s | CPU, memory |\n|---|---|---|---|\n")
	for _, s := range slows() {
		for _, start := range all() { // one after the other: they share the system's buffers
			t.Run(s.name, func(t *testing.T) {
				server := start(t, address)
				server.warm(t)
				w, begun := watch(t, server.processes), time.Now()
				c := gather(t, server.plain, 500, s)
				fmt.Fprintf(&report, "| %s | %s |", s.name, server.name)
				for _, at := range []time.Duration{3 * time.Second, 12 * time.Second, 32 * time.Second, 65 * time.Second, 100 * time.Second} {
					<-time.After(time.Until(begun.Add(at)))
					fmt.Fprintf(&report, " %d", connections(server.plain))
				}
				fmt.Fprintf(&report, " | %v |\n", w.end(t))
				c.disperse()
			})
		}
	}
	t.Logf("\n%s", report.String())
}
