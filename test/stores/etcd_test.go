package stores

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/discovery/etcd"
)

// startEtcd starts the newest etcd in this process, with tokens that expire soon and without the JSON gateway.
func startEtcd(t *testing.T) (address string) {
	t.Helper()
	c := embed.NewConfig()
	c.Dir = t.TempDir()
	c.LogLevel = "fatal"
	local := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	c.ListenClientUrls, c.AdvertiseClientUrls, c.ListenPeerUrls, c.AdvertisePeerUrls = local, local, local, local
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.AuthTokenTTL = 2
	c.EnableGRPCGateway = false
	c.UnsafeNoFsync = true
	server, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	await.From(t, "etcd is ready", server.Server.ReadyNotify())
	return server.Clients[0].Addr().String()
}

func official(t *testing.T, c clientv3.Config) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// found is what a provider reports.
type found struct {
	mu   sync.Mutex
	last []discovery.Endpoint
	err  error
	sets int
}

// addresses returns the addresses of the endpoints for which holds is true.
func (f *found) addresses(holds func(discovery.Endpoint) bool) string {
	var texts []string
	for _, e := range f.last {
		if holds(e) {
			texts = append(texts, e.Address)
		}
	}
	return strings.Join(texts, " ")
}

// haveReady waits until exactly these endpoints take requests.
func (f *found) haveReady(t *testing.T, addresses ...string) {
	t.Helper()
	f.await(t, func(e discovery.Endpoint) bool { return e.Condition == discovery.Ready }, addresses)
}

func (f *found) have(t *testing.T, addresses ...string) {
	t.Helper()
	f.await(t, func(discovery.Endpoint) bool { return true }, addresses)
}

func (f *found) await(t *testing.T, holds func(discovery.Endpoint) bool, addresses []string) {
	t.Helper()
	want := strings.Join(addresses, " ")
	await.That(t, "the set "+want, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.sets > 0 && f.addresses(holds) == want
	})
}

// open opens a source of a kind with its settings as text.
func open(t *testing.T, d discovery.Definition, settings string) discovery.Source {
	t.Helper()
	var ps doc.Problems
	c := d.Settings()
	if n := doc.Parse("weir.yaml", []byte(settings), &ps); n != nil {
		doc.Decode(n, c, &ps)
	}
	if ps.Failed() {
		t.Fatal(ps.Sorted())
	}
	s, err := d.Open(discovery.SourceEnv{Log: slog.New(slog.DiscardHandler), Secret: secret.Resolve}, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// find runs the provider of a reference until the test ends.
func find(t *testing.T, s discovery.Source, scheme, rest string) *found {
	t.Helper()
	f := &found{}
	p, err := s.Provider(discovery.Env{Log: slog.New(slog.DiscardHandler), Looked: func(err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.err = err
	}}, config.Service{Source: config.Ref{Scheme: scheme, Rest: rest}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- p.Run(ctx, func(list []discovery.Endpoint) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.last, f.sets = list, f.sets+1
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := await.From(t, "the end of the provider", ended); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%+v", f.last)
		}
	})
	return f
}

// Servers that register themselves for grpc-go's resolver are found without any change to them.
func TestWhatGRPCsOwnRegistrantsWrite(t *testing.T) {
	at := startEtcd(t)
	client := official(t, clientv3.Config{Endpoints: []string{at}})
	f := find(t, open(t, etcd.Definition(), "servers: http://"+at+"\nprefix: grpc/\n"), "etcd", "orders")
	manager, err := endpoints.NewManager(client, "grpc/orders")
	if err != nil {
		t.Fatal(err)
	}
	lease, err := client.Grant(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := manager.AddEndpoint(t.Context(), fmt.Sprintf("grpc/orders/%d", i), endpoints.Endpoint{Addr: fmt.Sprintf("10.0.0.%d:80", i), Metadata: map[string]any{"zone": "a"}}, clientv3.WithLease(lease.ID)); err != nil {
			t.Fatal(err)
		}
	}
	f.have(t, "10.0.0.0:80", "10.0.0.1:80", "10.0.0.2:80")
	if err := manager.DeleteEndpoint(t.Context(), "grpc/orders/1"); err != nil {
		t.Fatal(err)
	}
	f.have(t, "10.0.0.0:80", "10.0.0.2:80")
	all, err := manager.List(t.Context())
	if err != nil || len(all) != 2 {
		t.Errorf("the official client knows %v, %v", all, err)
	}
}

// An expired token is replaced, also for services that come later.
func TestTokensThatEnd(t *testing.T) {
	at := startEtcd(t)
	root := official(t, clientv3.Config{Endpoints: []string{at}})
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(root.Put(t.Context(), "services/users/a", "10.0.0.1:80"))
	must(root.UserAdd(t.Context(), "root", "r00t"))
	must(root.UserGrantRole(t.Context(), "root", "root"))
	must(root.RoleAdd(t.Context(), "reader"))
	must(root.RoleGrantPermission(t.Context(), "reader", "services/", clientv3.GetPrefixRangeEnd("services/"), clientv3.PermissionType(clientv3.PermRead)))
	must(root.UserAdd(t.Context(), "weir", "w31r"))
	must(root.UserGrantRole(t.Context(), "weir", "reader"))
	must(root.AuthEnable(t.Context()))
	root = official(t, clientv3.Config{Endpoints: []string{at}, Username: "root", Password: "r00t"})
	t.Setenv("ETCD_PASSWORD", "w31r")
	s := open(t, etcd.Definition(), "servers: http://"+at+"\nuser: weir\npassword: ${env:ETCD_PASSWORD}\n")
	f := find(t, s, "etcd", "users")
	f.have(t, "10.0.0.1:80")
	used := time.Now() // checking whether the token has expired would extend it
	await.That(t, "the end of the token", func() bool { return time.Since(used) > 3*time.Second })
	late := find(t, s, "etcd", "orders")
	must(root.Put(t.Context(), "services/orders/a", "10.0.0.2:80"))
	late.have(t, "10.0.0.2:80")
	must(root.Put(t.Context(), "services/users/b", "10.0.0.3:80"))
	f.have(t, "10.0.0.1:80", "10.0.0.3:80")
}

// After many changes at once, with a compaction in the middle, the provider sees what the official client sees.
func TestManyChangesComeToTheSame(t *testing.T) {
	at := startEtcd(t)
	client := official(t, clientv3.Config{Endpoints: []string{at}})
	f := find(t, open(t, etcd.Definition(), "servers: http://"+at), "etcd", "users")
	for i := range 300 {
		key := fmt.Sprintf("services/users/%d", i%17)
		if i%5 == 0 {
			if _, err := client.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			continue
		}
		res, err := client.Put(t.Context(), key, fmt.Sprintf("10.0.%d.%d:80", i%17, i%250))
		if err != nil {
			t.Fatal(err)
		}
		if i == 200 {
			if _, err := client.Compact(t.Context(), res.Header.GetRevision()); err != nil {
				t.Fatal(err)
			}
		}
	}
	all, err := client.Get(t.Context(), "services/users/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, kv := range all.Kvs {
		want = append(want, string(kv.GetValue()))
	}
	slices.Sort(want)
	f.have(t, want...)
}
