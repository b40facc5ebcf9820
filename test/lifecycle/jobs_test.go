//go:build linux

package lifecycle_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

// work is a backend that counts how often it got each body.
type work struct {
	url  string
	slow atomic.Pointer[chan struct{}] // what each request waits for; nil: nothing

	mu  sync.Mutex
	got map[string]int
}

func newWork(t *testing.T) *work {
	t.Helper()
	b := &work{got: map[string]int{}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the request was cut off
		}
		b.mu.Lock()
		b.got[string(body)]++
		b.mu.Unlock()
		if slow := b.slow.Load(); slow != nil {
			select {
			case <-*slow:
			case <-r.Context().Done():
				return
			}
		}
		_, _ = w.Write(body) // the gateway may be gone
	}))
	t.Cleanup(s.Close)
	b.url = s.URL
	return b
}

// all returns how many different bodies it got.
func (b *work) all() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.got)
}

func (b *work) times(body string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got[body]
}

// later writes a config that sends requests to b as jobs.
func (b *work) later(t *testing.T) string {
	t.Helper()
	return write(t, "listen: :8080\nroutes:\n  POST /: { async: { concurrency: 20 }, to: "+b.url+" }\n")
}

// post returns the address of the job if the request was accepted, and "" otherwise.
func post(client *http.Client, address, body string) string {
	res, err := client.Post("http://"+address+"/", "text/plain", strings.NewReader(body))
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusAccepted {
		return ""
	}
	return res.Header.Get("Location")
}

// posts has several clients post until stop is called. stop returns the addresses of the jobs that the clients were
// given, by body.
func posts(address func() string, keep func(error) bool) (stop func() map[string]string) {
	taken, end := map[string]string{}, make(chan struct{})
	var mu sync.Mutex
	var clients sync.WaitGroup
	for c := range 4 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for i := 0; ; i++ {
				select {
				case <-end:
					return
				default:
				}
				body := fmt.Sprintf("%d-%d", c, i)
				href := post(client, address(), body)
				if href == "" && !keep(fmt.Errorf("%s was not taken", body)) {
					return
				}
				if href != "" {
					mu.Lock()
					taken[body] = href
					mu.Unlock()
				}
			}
		})
	}
	return func() map[string]string {
		close(end)
		clients.Wait()
		return taken
	}
}

func (b *work) settled(t *testing.T, address string, taken map[string]string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for body, href := range taken {
		await.That(t, "the job of "+body+" is done", func() bool {
			res, err := client.Get("http://" + address + href)
			if err != nil {
				return false
			}
			defer res.Body.Close()
			var job struct {
				Status string
				Result struct{ Body string }
			}
			if res.StatusCode == http.StatusNotFound {
				t.Fatalf("the job of %s is lost", body)
			}
			_ = json.NewDecoder(res.Body).Decode(&job) // an incomplete answer does not count as done
			return job.Status == "done" && job.Result.Body == body
		})
		if b.times(body) == 0 {
			t.Errorf("%s is done and was not sent", body)
		}
	}
}

// TestNothingThatWasTakenIsLostByAKill kills the gateway several times with requests under way in every stage, and
// checks that every request that was answered with 202 is carried out.
func TestNothingThatWasTakenIsLostByAKill(t *testing.T) {
	b, state := newWork(t), t.TempDir()
	config := b.later(t)
	all := map[string]string{}
	for round := range 3 {
		g := weirtest.Start(t, config, "--state", state)
		stop := posts(func() string { return g.Address }, func(error) bool { return false })
		await.That(t, "some were sent", func() bool { return b.all() > 100*(round+1) })
		g.Kill()
		for body, href := range stop() {
			if _, twice := all[body]; !twice { // the bodies repeat in each round
				all[body] = href
			}
		}
	}
	g := weirtest.Start(t, config, "--state", state)
	b.settled(t, g.Address, all)
	t.Logf("%d jobs over three kills", len(all))
}

// TestAnotherProcessTakesOverTheJobs upgrades under load, with an attempt under way that takes longer than the
// upgrade. It checks that no request is refused or lost, and that none whose end is known is sent twice.
func TestAnotherProcessTakesOverTheJobs(t *testing.T) {
	b, state := newWork(t), t.TempDir()
	g := weirtest.Start(t, b.later(t), "--state", state)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	leave := make(chan struct{})
	b.slow.Store(&leave)
	slow := post(client, g.Address, "slow")
	await.That(t, "an attempt is under way", func() bool { return b.times("slow") == 1 })
	b.slow.Store(nil)
	var refused atomic.Pointer[error]
	stop := posts(func() string { return g.Address }, func(err error) bool { refused.Store(&err); return false })
	more := func(n int) { // after a refusal its client sends no more
		t.Helper()
		until := b.all() + n
		await.That(t, "more are sent", func() bool { return b.all() >= until || refused.Load() != nil })
	}
	more(50)
	before := g.Upgrade(t)
	more(100)
	taken := stop()
	close(leave)
	await.That(t, "the process before has ended", func() bool { return weirtest.Gone(before) })
	taken["slow"] = slow
	b.settled(t, g.Address, taken)
	if err := refused.Load(); err != nil {
		t.Error(*err)
	}
	twice := 0
	for body := range taken {
		if b.times(body) > 1 {
			twice++
		}
	}
	if twice > 0 {
		t.Errorf("%d of %d were sent twice", twice, len(taken))
	}
	if left, _ := filepath.Glob(filepath.Join(state, "*", "queue", "*.late")); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	t.Logf("%d jobs over an upgrade", len(taken))
}
