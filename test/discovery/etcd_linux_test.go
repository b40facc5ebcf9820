package discovery_test

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/freeport"
	"github.com/weir-gateway/weir/test/weirtest"
)

// pause is how long each failure of etcd lasts; it lasts for some hundred requests at least.
var pause = flag.Duration("pause", 0, "how long etcd fails in each way, beside some hundred requests") //nolint:gochecknoglobals // that is what flags are

// store is an etcd that can be paused and killed.
type store struct {
	t             *testing.T
	address, peer string
	folder        string
	process       *exec.Cmd
}

func startStore(t *testing.T) *store {
	t.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		t.Skip("no etcd here; `make deps` installs one")
	}
	s := &store{t: t, address: freeport.Address(t), peer: freeport.Address(t), folder: t.TempDir()}
	s.start()
	t.Cleanup(s.kill)
	return s
}

// start starts etcd and waits until it answers.
func (s *store) start() {
	s.t.Helper()
	client, peer := "http://"+s.address, "http://"+s.peer
	s.process = exec.Command("etcd", "--data-dir", filepath.Join(s.folder, "data"), "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer, "--logger", "zap", "--log-level", "error")
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	await.That(s.t, "etcd answers", func() bool { _, err := s.call("/v3/kv/range", map[string]any{"key": "eA=="}); return err == nil })
}

func (s *store) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(sig); err != nil {
		s.t.Error(err)
	}
}

func (s *store) kill() {
	if s.process != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
		s.process = nil
	}
}

// call uses etcd's JSON gateway.
func (s *store) call(path string, about map[string]any) (answer struct{ ID string }, err error) {
	body, err := json.Marshal(about)
	if err != nil {
		return answer, err
	}
	client := http.Client{Timeout: await.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Post("http://"+s.address+path, "application/json", strings.NewReader(string(body)))
	if err != nil {
		return answer, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("%s: %s %s %w", path, res.Status, text, err)
	}
	err = json.Unmarshal(text, &answer)
	return answer, err
}

// register makes exactly these registered, each with a lease of its own that lasts for lasts.
func (s *store) register(lasts time.Duration, all ...*patient) {
	s.t.Helper()
	must := func(path string, about map[string]any) string {
		s.t.Helper()
		answer, err := s.call(path, about)
		if err != nil {
			s.t.Fatal(err)
		}
		return answer.ID
	}
	encoded := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	const keys = "services/users/"
	keep := []string{}
	for _, p := range all {
		lease := must("/v3/lease/grant", map[string]any{"TTL": int(lasts.Seconds())})
		if lease == "" {
			s.t.Fatal("etcd has granted no lease")
		}
		must("/v3/kv/put", map[string]any{"key": encoded(keys + p.address()), "value": encoded(p.address()), "lease": lease})
		keep = append(keep, keys+p.address())
	}
	slices.Sort(keep)
	from := keys // deletes the keys between those that stay
	for _, key := range append(keep, "services/users0") {
		must("/v3/kv/deleterange", map[string]any{"key": encoded(from), "range_end": encoded(key)})
		from = key + "\x00"
	}
}

// TestTrafficGoesOnWithoutEtcd sends requests all the time while etcd is paused and killed. With -pause, the pause
// can be longer than leases last. Changes that follow are noticed.
func TestTrafficGoesOnWithoutEtcd(t *testing.T) {
	s := startStore(t)
	one, two, three := newPatient(t), newPatient(t), newPatient(t)
	config := filepath.Join(t.TempDir(), "weir.yaml")
	text := "listen: :8080\ndiscovery: { etcd: http://" + s.address + " }\nservices:\n  users: etcd:users\nroutes:\n  ANY /**: users\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &ward{Gateway: weirtest.Start(t, config), t: t}
	are := func(all ...*patient) {
		t.Helper()
		await.That(t, "endpoints that are registered", func() bool {
			now := w.stands()
			return len(now.Endpoints) == len(all) && !slices.ContainsFunc(all, func(p *patient) bool { return !now.is(p.address(), "healthy") })
		})
	}
	first := time.Hour
	if *pause > 0 {
		first = *pause / 2
	}
	s.register(first, one, two)
	are(one, two)
	l := startLoad(t, "http://"+w.Address+"/")
	meanwhile := func(what string) {
		t.Helper()
		<-time.After(*pause)
		l.more(t, 200)
		t.Logf("%s: %d requests, %d failed", what, l.sent.Load(), l.failed.Load())
	}
	s.signal(syscall.SIGSTOP)
	meanwhile("etcd is paused")
	s.signal(syscall.SIGCONT)
	s.register(time.Hour, one, two, three) // as registered programs do when their lease has expired
	are(one, two, three)
	meanwhile("it has gone on")
	s.kill()
	meanwhile("it is killed")
	s.start()
	s.register(time.Hour, two, three)
	are(two, three)
	meanwhile("it is back")
	l.nothingLost(t)
}
