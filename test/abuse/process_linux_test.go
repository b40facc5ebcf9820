package abuse_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// processes are the processes of one server: nginx has a master and a worker.
type processes []int

// cpu returns the processor time that they have used (proc_pid_schedstat).
func (p processes) cpu(t testing.TB) time.Duration {
	t.Helper()
	var sum time.Duration
	for _, pid := range p {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			var ran time.Duration
			if content, err := os.ReadFile(file); err == nil { // a thread may have ended
				_, _ = fmt.Sscan(string(content), &ran)
			}
			sum += ran
		}
	}
	return sum
}

// rss returns their resident memory, in bytes.
func (p processes) rss() int64 {
	var sum int64
	for _, pid := range p {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue // it has ended
		}
		if fields := strings.Fields(string(content)); len(fields) > 1 {
			pages, _ := strconv.ParseInt(fields[1], 10, 64)
			sum += pages * int64(os.Getpagesize())
		}
	}
	return sum
}

// memory is the memory of a process, in bytes.
type memory struct {
	resident  int64 // total, including pages of files
	anonymous int64 // the part that belongs to no file
}

// memory returns the sum of their memory (proc_pid_status(5)).
func (p processes) memory() (sum memory) {
	for _, pid := range p {
		content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // it may have ended
		for line := range strings.Lines(string(content)) {
			var kilobytes int64
			name, value, _ := strings.Cut(line, ":")
			_, _ = fmt.Sscan(value, &kilobytes) // other lines have no number
			switch name {
			case "VmRSS":
				sum.resident += kilobytes << 10
			case "RssAnon":
				sum.anonymous += kilobytes << 10
			}
		}
	}
	return sum
}

func (m memory) less(other memory) memory {
	return memory{m.resident - other.resident, m.anonymous - other.anonymous}
}

// by formats the share of one in n.
func (m memory) by(n int) string {
	return fmt.Sprintf("%.2f, %.2f kB", float64(m.resident)/float64(n)/1e3, float64(m.anonymous)/float64(n)/1e3)
}

func (m memory) String() string {
	return fmt.Sprintf("%.1f, %.1f MB", float64(m.resident)/1e6, float64(m.anonymous)/1e6)
}

// connections returns how many connections to a server's address the system has, in whatever state. A closed
// connection with unsent data counts. One that only waits for stray packets does not (proc_pid_net(5)).
func connections(address string) int {
	const listening, timeWait = "0A", "06"
	_, port, _ := net.SplitHostPort(address) // the server listens on it, so it is valid
	number, _ := strconv.Atoi(port)
	local := fmt.Sprintf(":%04X", number)
	n := 0
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		content, _ := os.ReadFile(file) // there may be no IPv6
		for line := range strings.Lines(string(content)) {
			fields := strings.Fields(line)
			if len(fields) > 3 && strings.HasSuffix(fields[1], local) && fields[3] != listening && fields[3] != timeWait {
				n++
			}
		}
	}
	return n
}

// unread returns how many bytes that were written to conn are unread at its other end, which is on this machine too.
func unread(conn net.Conn) (bytes int) {
	hexPort := func(a net.Addr) string { return fmt.Sprintf(":%04X", a.(*net.TCPAddr).Port) }
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		content, _ := os.ReadFile(file) // there may be no IPv6
		for line := range strings.Lines(string(content)) {
			fields := strings.Fields(line)
			if len(fields) > 4 && strings.HasSuffix(fields[1], hexPort(conn.RemoteAddr())) && strings.HasSuffix(fields[2], hexPort(conn.LocalAddr())) {
				_, _ = fmt.Sscanf(fields[4], "%x:%x", new(int), &bytes) // the send queue, and this receive queue
			}
		}
	}
	return bytes
}

// cost is what an attack cost the server.
type cost struct {
	cpu  time.Duration
	peak int64 // the most memory beyond what was used before
}

func (c cost) String() string {
	return fmt.Sprintf("%.2f s, +%.1f MB", c.cpu.Seconds(), float64(c.peak)/1e6)
}

// watching measures a server until it is stopped.
type watching struct {
	p    processes
	cpu  time.Duration
	rss  int64
	most int64
	stop chan struct{}
	done sync.WaitGroup
}

func watch(t testing.TB, p processes) *watching {
	t.Helper()
	w := &watching{p: p, cpu: p.cpu(t), rss: p.rss(), stop: make(chan struct{})}
	w.most = w.rss
	w.done.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-w.stop:
				return
			case <-tick.C:
				w.most = max(w.most, w.p.rss())
			}
		}
	})
	return w
}

func (w *watching) end(t testing.TB) cost {
	t.Helper()
	c := cost{cpu: w.p.cpu(t) - w.cpu}
	close(w.stop)
	w.done.Wait()
	c.peak = w.most - w.rss
	return c
}
