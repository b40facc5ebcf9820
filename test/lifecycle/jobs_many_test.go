//go:build linux

package lifecycle_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

// many is how many jobs TestManyJobs makes: WEIR_JOBS sets it for `make soak-jobs`.
func many(t *testing.T) int {
	t.Helper()
	text := os.Getenv("WEIR_JOBS")
	if text == "" {
		return 400
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestManyJobs submits many jobs from many clients at once, checks that each is sent once, and prints what that cost.
// No figure decides whether the test passes.
func TestManyJobs(t *testing.T) {
	const clients = 32
	n, b, state := many(t), newWork(t), t.TempDir()
	config := write(t, fmt.Sprintf("listen: :8080\ntelemetry: { access_log: off }\nroutes:\n  POST /: { async: { concurrency: 50, queue: %d }, to: %s }\n", n, b.url))
	g := weirtest.Start(t, config, "--state", state, "--log", "error")
	before := resident(t, g.PID())
	begin := time.Now()
	took := make([]time.Duration, n)
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for i := c; i < n; i += clients {
				start := time.Now()
				if post(client, g.Address, fmt.Sprint(i)) == "" {
					t.Errorf("%d was not taken", i)
					return
				}
				took[i] = time.Since(start)
			}
		})
	}
	all.Wait()
	taken := time.Since(begin)
	await.That(t, "all are sent", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.got) >= n
	})
	await.That(t, "all are done", func() bool { return strings.Contains(scraped(t, g.Admin), `state="done"} `+strconv.Itoa(n)+"\n") })
	sent := time.Since(begin)
	for i := range n {
		if times := b.times(fmt.Sprint(i)); times != 1 {
			t.Errorf("%d was sent %d times", i, times)
		}
	}
	slices.Sort(took)
	files, err := filepath.Glob(filepath.Join(state, "*", "queue", "jobs.db"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	info, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d jobs by %d clients: taken in %v (%.0f/s), 202 after %v (median) and %v (99%%), all done in %v (%.0f/s); resident memory %d -> %d MB; the file has %.1f MB, %d bytes a job",
		n, clients, taken.Round(time.Millisecond), float64(n)/taken.Seconds(), took[n/2].Round(10*time.Microsecond), took[n*99/100].Round(10*time.Microsecond), sent.Round(time.Millisecond), float64(n)/sent.Seconds(),
		before>>20, resident(t, g.PID())>>20, float64(info.Size())/1e6, info.Size()/int64(n))
	start := time.Now()
	g.Kill()
	g = weirtest.Start(t, config, "--state", state)
	if !strings.Contains(scraped(t, g.Admin), `weir_jobs{kind="route",lane="POST /",state="done"} `+strconv.Itoa(n)+"\n") {
		t.Error("not all are known after a kill")
	}
	t.Logf("killed and started again, all known, in %v", time.Since(start).Round(time.Millisecond))
}

// resident returns the memory of a process, in bytes.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(raw))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// scraped returns the metrics.
func scraped(t *testing.T, admin string) string {
	t.Helper()
	res, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
