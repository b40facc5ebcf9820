//go:build unix

package etcd

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/freeport"
)

// member is an etcd that runs: the real one, as the system's packages have it.
type member struct {
	testing.TB

	name    string
	scheme  string // of its clients
	client  string // host:port
	peer    string
	data    string
	cluster string // all members, as etcd wants them named
	options []string
	http    *http.Client // for what is asked of it by tests
	token   string

	process *exec.Cmd
	log     await.Text
}

// startMembers starts a cluster of so many.
func startMembers(t testing.TB, n int, options ...string) []*member {
	t.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		t.Skip("no etcd here; `make deps` installs one")
	}
	var list []*member
	var names []string
	for i := range n {
		m := &member{TB: t, name: fmt.Sprintf("m%d", i), scheme: "http", client: freeport.Address(t), peer: freeport.Address(t), data: filepath.Join(t.TempDir(), "data"), options: options, http: http.DefaultClient}
		list = append(list, m)
		names = append(names, m.name+"=http://"+m.peer)
	}
	for _, m := range list {
		m.cluster = strings.Join(names, ",")
		m.start()
		t.Cleanup(func() { m.kill() })
	}
	for _, m := range list {
		m.awaitHealth()
	}
	return list
}

func startMember(t testing.TB, options ...string) *member {
	t.Helper()
	return startMembers(t, 1, options...)[0]
}

func (m *member) start() {
	m.Helper()
	client := m.scheme + "://" + m.client
	m.process = exec.Command("etcd", append([]string{ //nolint:noctx // it is ended by kill
		"--name", m.name, "--data-dir", m.data, "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", "http://" + m.peer, "--initial-advertise-peer-urls", "http://" + m.peer, "--initial-cluster", m.cluster,
		"--heartbeat-interval", "50", "--election-timeout", "500", "--unsafe-no-fsync=true", "--logger", "zap", "--log-level", "warn",
	}, m.options...)...)
	m.process.Stdout, m.process.Stderr = &m.log, &m.log
	if err := m.process.Start(); err != nil {
		m.Fatal(err)
	}
}

func (m *member) awaitHealth() {
	m.Helper()
	defer func() {
		if m.Failed() {
			m.Log(m.log.String())
		}
	}()
	await.That(m, "etcd is healthy", func() bool {
		res, err := m.http.Get(m.scheme + "://" + m.client + "/health") //nolint:noctx // it is asked again
		if err != nil {
			return false
		}
		defer func() { _ = res.Body.Close() }()
		text, _ := io.ReadAll(res.Body)
		return strings.Contains(string(text), `"true"`)
	})
}

// kill ends the member as a power failure does.
func (m *member) kill() {
	if m.process == nil {
		return
	}
	_ = m.process.Process.Signal(syscall.SIGCONT) // or it cannot end
	_ = m.process.Process.Kill()
	_ = m.process.Wait()
	m.process = nil
}

func (m *member) signal(s syscall.Signal) {
	m.Helper()
	if err := m.process.Process.Signal(s); err != nil {
		m.Fatal(err)
	}
}

// pause stops the member, as a machine does whose disk hangs: it is there, and does nothing.
func (m *member) pause() {
	m.Helper()
	m.signal(syscall.SIGSTOP)
	status := fmt.Sprintf("/proc/%d/status", m.process.Process.Pid)
	if _, err := os.Stat(status); err != nil {
		m.Skip("whether a process is stopped cannot be seen here")
	}
	await.That(m, "etcd is stopped", func() bool {
		text, err := os.ReadFile(status)
		return err == nil && strings.Contains(string(text), "State:\tT")
	})
}

// call asks the member by its JSON gateway, so that what is tested has no part in it.
func (m *member) call(path string, ask any) map[string]any {
	m.Helper()
	answer, err := m.ask(path, ask)
	if err != nil {
		m.Fatal(err)
	}
	return answer
}

// ask is call, and gives what is wrong.
func (m *member) ask(path string, ask any) (map[string]any, error) {
	m.Helper()
	body, err := json.Marshal(ask)
	if err != nil {
		m.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, m.scheme+"://"+m.client+path, bytes.NewReader(body)) //nolint:noctx // the test's own deadline counts
	if err != nil {
		m.Fatal(err)
	}
	if m.token != "" {
		req.Header.Set("Authorization", m.token)
	}
	res, err := m.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	var answer map[string]any
	if err != nil || res.StatusCode != http.StatusOK || json.Unmarshal(text, &answer) != nil {
		return nil, fmt.Errorf("%s: %d %s %w", path, res.StatusCode, text, err)
	}
	return answer, nil
}

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// put tries until it has been put, for members that have begun to choose another leader refuse it meanwhile.
func (m *member) put(key, value string) {
	m.Helper()
	var err error
	defer func() {
		if err != nil {
			m.Log(err)
		}
	}()
	await.That(m, "it is put", func() bool {
		_, err = m.ask("/v3/kv/put", map[string]any{"key": encoded(key), "value": encoded(value)})
		return err == nil
	})
}

func (m *member) leased(key, value string, lease any) {
	m.Helper()
	m.call("/v3/kv/put", map[string]any{"key": encoded(key), "value": encoded(value), "lease": lease})
}

func (m *member) del(key string) {
	m.Helper()
	m.call("/v3/kv/deleterange", map[string]any{"key": encoded(key)})
}

func (m *member) grant(seconds int) (lease any) {
	m.Helper()
	return m.call("/v3/lease/grant", map[string]any{"TTL": seconds})["ID"]
}

// compact forgets all revisions but the last.
func (m *member) compact() {
	m.Helper()
	header, _ := m.call("/v3/kv/range", map[string]any{"key": encoded("x")})["header"].(map[string]any)
	m.call("/v3/kv/compaction", map[string]any{"revision": header["revision"], "physical": true})
}

// wipe has the member lose everything, and begin anew.
func (m *member) wipe() {
	m.Helper()
	m.kill()
	if err := os.RemoveAll(m.data); err != nil {
		m.Fatal(err)
	}
	m.start()
	m.awaitHealth()
}

// road is a way to a member that can be cut.
type road struct {
	listener net.Listener
	to       string
	opened   atomic.Int64 // connections so far

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

func newRoad(t testing.TB, to string) *road {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // nothing can take long
	if err != nil {
		t.Fatal(err)
	}
	r := &road{listener: l, to: to, conns: map[net.Conn]bool{}}
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			ended.Go(func() { r.carry(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.close(true)
		ended.Wait()
	})
	return r
}

// close ends all connections, and refuses others while it is cut.
func (r *road) close(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
	for conn := range r.conns {
		_ = conn.Close()
	}
}

// hold notes a connection, and tells whether it may be.
func (r *road) hold(conn net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns[conn] = true
	return !r.cut
}

func (r *road) carry(from net.Conn) {
	defer func() { _ = from.Close() }()
	if !r.hold(from) {
		return
	}
	to, err := net.Dial("tcp", r.to) //nolint:noctx // on this machine
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	r.hold(to)
	r.opened.Add(1)
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(to, from); _ = to.Close() })
	both.Go(func() { _, _ = io.Copy(from, to); _ = from.Close() })
	both.Wait()
}
