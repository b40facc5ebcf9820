//go:build unix

package etcd

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/freeport"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/discovery/discoverytest"
	"github.com/weir-gateway/weir/internal/wire/secure/securetest"
)

func TestKeysAreEndpoints(t *testing.T) {
	m := startMember(t)
	m.put("services/users/a", "10.0.0.1:80")
	m.put("services/usersofothers/a", "10.0.0.9:80")
	s := at(t, m.client)
	r := run(t, s, "users")
	r.Have("10.0.0.1:80")
	m.put("services/users/b", `{"address": "10.0.0.2", "port": 80, "weight": 2, "zone": "a", "state": "draining", "tags": ["x"]}`)
	r.Have("10.0.0.1:80", "10.0.0.2:80(draining)")
	m.put("services/users/c", `{"Op": 0, "Addr": "10.0.0.3:80", "Metadata": {"weight": 3}}`)
	r.Have("10.0.0.1:80", "10.0.0.2:80(draining)", "10.0.0.3:80")
	m.put("services/users/d", "no endpoint\x00\xff")
	m.put("services/users/e", "10.0.0.5:80")
	r.Have("10.0.0.1:80", "10.0.0.2:80(draining)", "10.0.0.3:80", "10.0.0.5:80")
	if n := strings.Count(r.Logged(), "services/users/d"); n != 1 {
		t.Errorf("what is no endpoint is told %d times: %s", n, r.Logged())
	}
	m.del("services/users/a")
	r.Have("10.0.0.2:80(draining)", "10.0.0.3:80", "10.0.0.5:80")
	last := r.Last()
	if e := last[0]; e.Weight != 2 || e.Zone != "a" || e.Condition != discovery.Draining || last[1].Weight != 3 {
		t.Errorf("%+v", last)
	}
	lease := m.grant(1)
	m.leased("services/users/f", "10.0.0.6:80", lease)
	r.Have("10.0.0.2:80(draining)", "10.0.0.3:80", "10.0.0.5:80", "10.0.0.6:80")
	r.Have("10.0.0.2:80(draining)", "10.0.0.3:80", "10.0.0.5:80") // nobody renews it
	nested := run(t, s, "usersofothers")
	nested.Have("10.0.0.9:80")
}

// An instance that comes back with a lease of its own is another one.
func TestAnInstanceIsKnownByItsLease(t *testing.T) {
	m := startMember(t)
	r := run(t, at(t, m.client), "users")
	first, second := m.grant(60), m.grant(60)
	m.leased("services/users/a", "10.0.0.1:80", first)
	r.Have("10.0.0.1:80")
	m.leased("services/users/a", "10.0.0.1:80", second)
	await.That(t, "another instance", func() bool {
		sets := r.Sets()
		return len(sets) == 2 && sets[0][0].ID != sets[1][0].ID
	})
}

func TestEtcdKilledAndStartedAgain(t *testing.T) {
	m := startMember(t)
	m.put("services/users/a", "10.0.0.1:80")
	r := run(t, at(t, m.client), "users")
	r.Have("10.0.0.1:80")
	m.kill()
	r.Trouble("")
	m.start()
	m.awaitHealth()
	r.Fine()
	m.put("services/users/b", "10.0.0.2:80")
	r.Have("10.0.0.1:80", "10.0.0.2:80")
	r.Only("10.0.0.1:80", "10.0.0.1:80 10.0.0.2:80")
}

// While a member is stopped its connections stand, and nothing is heard.
func TestEtcdPaused(t *testing.T) {
	m := startMember(t)
	m.put("services/users/a", "10.0.0.1:80")
	s := at(t, m.client)
	r := run(t, s, "users")
	r.Have("10.0.0.1:80")
	m.pause()
	late := run(t, s, "orders") // which can learn nothing, and finds that out
	late.Trouble("no answer within")
	r.Trouble("")
	m.signal(syscall.SIGCONT)
	m.awaitHealth()
	m.put("services/orders/a", "10.0.0.3:80")
	m.put("services/users/b", "10.0.0.2:80")
	r.Have("10.0.0.1:80", "10.0.0.2:80")
	late.Have("10.0.0.3:80")
	r.Only("10.0.0.1:80", "10.0.0.1:80 10.0.0.2:80")
}

func TestWhatWasCompactedIsReadAnew(t *testing.T) {
	m := startMember(t)
	m.put("services/users/a", "10.0.0.1:80")
	way := newRoad(t, m.client)
	r := run(t, at(t, way.listener.Addr().String()), "users")
	r.Have("10.0.0.1:80")
	m.put("services/users/b", "10.0.0.2:80")
	r.Have("10.0.0.1:80", "10.0.0.2:80") // so that the watch has begun
	way.close(true)
	r.Trouble("")
	m.del("services/users/a")
	m.put("services/users/c", "10.0.0.3:80")
	m.put("services/other", "x")
	m.compact()
	way.close(false)
	r.Have("10.0.0.2:80", "10.0.0.3:80")
	if !strings.Contains(r.Logged(), "compacted") {
		t.Error("the watch was resumed where nothing was left of it")
	}
}

// What was not compacted is resumed: nothing is read anew.
func TestAWatchIsResumed(t *testing.T) {
	m := startMember(t)
	m.put("services/users/a", "10.0.0.1:80")
	way := newRoad(t, m.client)
	r := run(t, at(t, way.listener.Addr().String()), "users")
	r.Have("10.0.0.1:80")
	m.put("services/users/b", "10.0.0.2:80")
	r.Have("10.0.0.1:80", "10.0.0.2:80") // so that the watch has begun
	before := ranges(m)
	for i := range 3 {
		way.close(true)
		r.Trouble("")
		m.put("services/users/b", fmt.Sprintf("10.0.0.2:%d", i+1))
		way.close(false)
		r.Have("10.0.0.1:80", fmt.Sprintf("10.0.0.2:%d", i+1))
	}
	if after := ranges(m); after != before {
		t.Errorf("keys were read %v times, and %v before", after, before)
	}
}

// ranges is how often keys were read, as the member counts it.
func ranges(m *member) string {
	res, err := m.http.Get("http://" + m.client + "/metrics") //nolint:noctx // on this machine
	if err != nil {
		m.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, _ := io.ReadAll(res.Body)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "etcd_debugging_mvcc_range_total ") || strings.HasPrefix(line, "etcd_mvcc_range_total ") {
			return strings.TrimSpace(line)
		}
	}
	m.Fatal("etcd does not count reads")
	return ""
}

// A store that has lost everything, or is one of yesterday, is not believed at once.
func TestEtcdWiped(t *testing.T) {
	m := startMember(t)
	for i := range 5 {
		m.put("services/users/a", fmt.Sprintf("10.0.0.1:%d", i+1))
	}
	m.put("services/users/b", "10.0.0.2:80")
	m.put("services/orders/a", "10.0.0.3:80")
	s := at(t, m.client)
	s.doubt = time.Hour
	r, emptied := run(t, s, "users"), run(t, s, "orders")
	r.Have("10.0.0.1:5", "10.0.0.2:80")
	emptied.Have("10.0.0.3:80")
	m.wipe()
	m.put("services/users/b", "10.0.0.2:81") // it is the first to be there again
	r.Have("10.0.0.1:5", "10.0.0.2:81")
	emptied.Fine()
	emptied.Only("10.0.0.3:80")
	m.put("services/orders/a", "10.0.0.3:81")
	emptied.Have("10.0.0.3:81")
	m.put("services/users/a", "10.0.0.1:6")
	r.Have("10.0.0.1:6", "10.0.0.2:81")
}

// What the store of before has known is let go of when it was doubted for long enough.
func TestWhatIsForgottenIsKeptForAWhile(t *testing.T) {
	v := view{prefix: "services/users/", log: discard(), doubt: time.Minute, entries: map[string]entry{}}
	of := func(cluster uint64, revision int64, addresses ...string) rangeResponse {
		r := rangeResponse{header: header{cluster, revision}}
		for i, a := range addresses {
			r.pairs = append(r.pairs, pair{key: fmt.Sprintf("services/users/%d", i), value: []byte(a), mod: revision})
		}
		return r
	}
	have := func(after time.Duration, again time.Duration, want string) {
		t.Helper()
		list, wait := v.set(time.Time{}.Add(after))
		if got := discoverytest.Text(list); got != want || wait != again {
			t.Errorf("after %v: %q, again in %v; want %q, %v", after, got, wait, want, again)
		}
	}
	v.read(time.Time{}, of(1, 10, "a:1", "b:1"))
	have(0, 0, "a:1 b:1")
	v.read(time.Time{}, of(1, 11, "a:2")) // the same store, later
	have(0, 0, "a:2")
	v.read(time.Time{}, of(1, 12, "a:2", "b:1"))
	v.read(time.Time{}, of(2, 3, "a:3")) // another
	have(time.Second, 59*time.Second, "a:3 b:1")
	v.read(time.Time{}.Add(time.Second), of(2, 4, "a:3"))
	have(time.Minute, 0, "a:3")
	v.read(time.Time{}, of(2, 2)) // an older state of it
	have(time.Second, 59*time.Second, "a:3")
	have(time.Minute, 0, "")
}

// The last endpoint that goes is asked a while longer: nobody could be asked in its place.
func TestTheLastEndpointStaysForAWhile(t *testing.T) {
	m := startMember(t)
	s := at(t, m.client)
	s.doubt = time.Hour
	r := run(t, s, "users")
	r.Trouble(discovery.ErrAbsent.Error())
	m.put("services/users/a", "10.0.0.1:80")
	r.Have("10.0.0.1:80")
	m.del("services/users/a")
	r.Trouble(discovery.ErrAbsent.Error())
	m.put("services/users/a", "10.0.0.1:81")
	r.Have("10.0.0.1:81")
	r.Only("10.0.0.1:80", "10.0.0.1:81")
	s.doubt = time.Millisecond
	believed := run(t, s, "users")
	believed.Have("10.0.0.1:81")
	m.del("services/users/a")
	believed.Have()
}

func TestAnotherMemberIsAskedWhereOneIsGone(t *testing.T) {
	list := startMembers(t, 3)
	list[0].put("services/users/a", "10.0.0.1:80")
	r := run(t, at(t, freeport.Address(t), list[0].client, list[1].client, list[2].client), "users")
	r.Have("10.0.0.1:80")
	list[0].kill() // the one that is asked
	list[1].awaitHealth()
	list[1].put("services/users/b", "10.0.0.2:80")
	r.Have("10.0.0.1:80", "10.0.0.2:80")
	list[1].kill()
	r.Trouble("") // there is no majority: who is left says so, and is not believed to have nothing new
	list[0].start()
	list[1].start()
	list[0].awaitHealth()
	list[0].put("services/users/c", "10.0.0.3:80")
	r.Have("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
	r.Only("10.0.0.1:80", "10.0.0.1:80 10.0.0.2:80", "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80")
}

func TestUsersAndTheirPermissions(t *testing.T) {
	m := startMember(t)
	m.put("services/users/a", "10.0.0.1:80")
	m.put("services/secret/a", "10.0.0.9:80")
	m.call("/v3/auth/user/add", map[string]any{"name": "root", "password": "r00t"})
	m.call("/v3/auth/role/add", map[string]any{"name": "root"})
	m.call("/v3/auth/user/grant", map[string]any{"user": "root", "role": "root"})
	m.call("/v3/auth/user/add", map[string]any{"name": "weir", "password": "w31r"})
	m.call("/v3/auth/role/add", map[string]any{"name": "reader"})
	m.call("/v3/auth/role/grant", map[string]any{"name": "reader", "perm": map[string]any{"permType": "READ", "key": encoded("services/users/"), "range_end": encoded("services/users0")}})
	m.call("/v3/auth/user/grant", map[string]any{"user": "weir", "role": "reader"})
	m.call("/v3/auth/enable", map[string]any{})
	t.Setenv("ETCD_PASSWORD", "w31r")
	s := opened(t, "servers: http://"+m.client+"\nuser: weir\npassword: ${env:ETCD_PASSWORD}\n")
	r, refused := run(t, s, "users"), run(t, s, "secret")
	r.Have("10.0.0.1:80")
	refused.Trouble("permission denied")
	m.kill() // the tokens of before are worth nothing to the next
	m.start()
	m.awaitHealth()
	token, _ := m.call("/v3/auth/authenticate", map[string]any{"name": "root", "password": "r00t"})["token"].(string)
	m.token = token
	m.put("services/users/b", "10.0.0.2:80")
	r.Have("10.0.0.1:80", "10.0.0.2:80")
	refused.Only()
	t.Setenv("ETCD_PASSWORD", "guessed")
	wrong := run(t, opened(t, "servers: http://"+m.client+"\nuser: weir\npassword: ${env:ETCD_PASSWORD}\n"), "users")
	if err := wrong.Trouble("authentication failed"); strings.Contains(err.Error(), "guessed") {
		t.Errorf("a password is told: %v", err)
	}
	nobody := run(t, at(t, m.client), "users")
	nobody.Trouble("user name is empty")
}

func TestTLSBothWays(t *testing.T) {
	if _, err := exec.LookPath("etcd"); err != nil {
		t.Skip("no etcd here; `make deps` installs one")
	}
	folder := t.TempDir()
	authority := securetest.NewAuthority(t, "etcd's")
	securetest.WriteFile(t, filepath.Join(folder, "ca.crt"), authority.PEM())
	securetest.Write(t, folder, "server", authority.Issue([]string{"127.0.0.1"}))
	securetest.Write(t, folder, "weir", authority.Issue([]string{"weir"}))
	file := func(name string) string { return filepath.Join(folder, name) }
	m := &member{
		TB: t, name: "m0", scheme: "https", client: freeport.Address(t), peer: freeport.Address(t), data: filepath.Join(folder, "data"), http: nil,
		options: []string{"--cert-file", file("server.crt"), "--key-file", file("server.key"), "--client-cert-auth", "--trusted-ca-file", file("ca.crt")},
	}
	m.cluster = "m0=http://" + m.peer
	m.start()
	t.Cleanup(m.kill)
	s := opened(t, fmt.Sprintf("servers: https://%s\nca: %s\ncert: %s\nkey: %s\n", m.client, file("ca.crt"), file("weir.crt"), file("weir.key")))
	s.doubt = time.Millisecond
	r := run(t, s, "users")
	r.Have() // it was told that there are none
	stranger := run(t, opened(t, fmt.Sprintf("servers: https://%s\nca: %s\n", m.client, file("ca.crt"))), "users")
	stranger.Trouble("")
	unknown := run(t, opened(t, fmt.Sprintf("servers: https://%s\ncert: %s\nkey: %s\n", m.client, file("weir.crt"), file("weir.key"))), "users")
	unknown.Trouble("certificate")
}

// TestAThousandServicesHaveOneConnection shows how long a change takes to be a set, too.
func TestAThousandServicesHaveOneConnection(t *testing.T) {
	services := 1000
	if testing.Short() {
		services = 100
	}
	m := startMember(t)
	for i := range services {
		m.put(fmt.Sprintf("services/s%d/a", i), fmt.Sprintf("10.0.0.1:%d", i+1))
	}
	way := newRoad(t, m.client)
	s := at(t, way.listener.Addr().String())
	start := time.Now()
	var all []*discoverytest.Running
	for i := range services {
		all = append(all, run(t, s, fmt.Sprintf("s%d", i)))
	}
	for i, r := range all {
		r.Have(fmt.Sprintf("10.0.0.1:%d", i+1))
	}
	t.Logf("%d services are known after %v", services, time.Since(start))
	// Where a slow machine has kept an answer too long there is another.
	if n, took := way.opened.Load(), time.Since(start); n > 5+int64(took/answerTime) {
		t.Errorf("there were %d connections within %v", n, took)
	}
	var times []time.Duration
	for i := range 50 {
		r := all[i*services/50]
		start := time.Now()
		m.put(fmt.Sprintf("services/s%d/b", i*services/50), "10.0.0.2:80")
		r.Have(fmt.Sprintf("10.0.0.1:%d", i*services/50+1), "10.0.0.2:80")
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	t.Logf("from before the put, which is HTTP, to the set: p50 %v, p98 %v (looked at every 2 ms)", times[25], times[48])
	way.close(false)
	start = time.Now()
	for i, r := range all {
		m.put(fmt.Sprintf("services/s%d/a", i), fmt.Sprintf("10.0.0.3:%d", i+1))
		await.That(t, "the set of after the cut", func() bool { return strings.Contains(discoverytest.Text(r.Last()), "10.0.0.3:") })
	}
	t.Logf("all have heard a change %v after the connection was cut", time.Since(start))
}
