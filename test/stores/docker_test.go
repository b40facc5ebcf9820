package stores

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/discovery/docker"
)

// daemon answers as Docker does, with types of the official module, and records what it was asked.
type daemon struct {
	path string

	mu         sync.Mutex
	asked      []string
	containers map[string]container.InspectResponse
	events     chan events.Message
}

func startDaemon(t *testing.T) *daemon {
	t.Helper()
	d := &daemon{path: filepath.Join(t.TempDir(), "d.sock"), containers: map[string]container.InspectResponse{}, events: make(chan events.Message, 10)}
	l, err := net.Listen("unix", d.path) //nolint:noctx // nothing can take long
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(d.serve))
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return d
}

func (d *daemon) serve(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Header().Set("Api-Version", "1.56")
	if r.URL.Path == "/_ping" {
		return
	}
	filters := r.URL.Query().Get("filters")
	d.asked = append(d.asked, r.Method+" "+r.URL.Path+" "+sameFilters(filters))
	id := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v1.56/containers/"), "/json")
	switch r.URL.Path {
	case "/v1.56/events":
		_ = http.NewResponseController(w).Flush()
		d.mu.Unlock()
		defer d.mu.Lock()
		for {
			select {
			case e := <-d.events:
				_ = json.NewEncoder(w).Encode(e)
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	case "/v1.56/containers/json":
		list := []container.Summary{}
		for _, c := range d.containers {
			list = append(list, container.Summary{ID: c.ID, Labels: c.Config.Labels, State: c.State.Status})
		}
		_ = json.NewEncoder(w).Encode(list)
	default:
		_ = json.NewEncoder(w).Encode(d.containers[id])
	}
}

// sameFilters brings filters into one form: the documentation has lists, and the official client sends maps of what
// is true. A daemon accepts both as the same.
func sameFilters(text string) string {
	lists, maps := map[string][]string{}, map[string]map[string]bool{}
	if json.Unmarshal([]byte(text), &lists) != nil {
		_ = json.Unmarshal([]byte(text), &maps)
		lists = map[string][]string{}
		for term, values := range maps {
			for value := range values {
				lists[term] = append(lists[term], value)
			}
			slices.Sort(lists[term])
		}
	}
	plain, _ := json.Marshal(lists)
	return string(plain)
}

func (d *daemon) questions() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.asked)
}

func (d *daemon) become(c container.InspectResponse) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.containers[c.ID] = c
}

func running(id, ip string, health container.HealthStatus, changes ...func(*container.InspectResponse)) container.InspectResponse {
	c := container.InspectResponse{
		ID: id, Name: "/" + id,
		State:      &container.State{Status: container.StateRunning, Running: true, StartedAt: "2026-01-01T00:00:00Z", Health: &container.Health{Status: health}},
		HostConfig: &container.HostConfig{NetworkMode: "shop_default"},
		Config:     &container.Config{Labels: map[string]string{"com.docker.compose.project": "shop", "com.docker.compose.service": "users"}, ExposedPorts: network.PortSet{network.MustParsePort("8080/tcp"): {}}},
		NetworkSettings: &container.NetworkSettings{
			Ports:    network.PortMap{network.MustParsePort("8080/tcp"): {{HostIP: netip.MustParseAddr("0.0.0.0"), HostPort: "32768"}}},
			Networks: map[string]*network.EndpointSettings{"shop_default": {IPAddress: netip.MustParseAddr(ip)}},
		},
	}
	for _, change := range changes {
		change(&c)
	}
	return c
}

// The requests are those that Docker's own client sends, and answers written with the official types are read
// correctly.
func TestTheDaemonIsAskedAsTheOfficialClientDoes(t *testing.T) {
	theirs := startDaemon(t)
	theirs.become(running("a", "10.0.0.1", container.Healthy))
	c, err := client.New(client.WithHost("unix://" + theirs.path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	heard := c.Events(t.Context(), client.EventsListOptions{Filters: client.Filters{}.Add("type", "container", "network")})
	await.That(t, "their events", func() bool { return len(theirs.questions()) == 1 })
	list, err := c.ContainerList(t.Context(), client.ContainerListOptions{})
	if err != nil || len(list.Items) != 1 {
		t.Fatal(list, err)
	}
	found, err := c.ContainerInspect(t.Context(), list.Items[0].ID, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	theirs.events <- events.Message{Type: events.ContainerEventType, Action: events.ActionStart, Actor: events.Actor{ID: "a"}}
	if e := await.From(t, "their event", heard.Messages); e.Actor.ID != found.Container.ID {
		t.Errorf("%+v", e)
	}

	ours := startDaemon(t)
	ours.become(running("a", "10.0.0.1", container.Healthy))
	f := find(t, open(t, docker.Definition(), "host: unix:"+ours.path+"\nports: container\n"), "docker", "shop/users")
	f.haveReady(t, "10.0.0.1:8080")
	if got, want := ours.questions(), theirs.questions(); !slices.Equal(got, want) {
		t.Errorf("asked\n%s\nthe official client asks\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, step := range []struct {
		action events.Action
		now    container.InspectResponse
		ready  []string
	}{
		{events.ActionStart, running("b", "10.0.0.2", container.Starting), []string{"10.0.0.1:8080"}},
		{events.ActionHealthStatusHealthy, running("b", "10.0.0.2", container.Healthy), []string{"10.0.0.1:8080", "10.0.0.2:8080"}},
		{events.ActionHealthStatusUnhealthy, running("a", "10.0.0.1", container.Unhealthy), []string{"10.0.0.2:8080"}},
		{events.ActionUpdate, running("a", "10.0.0.1", container.NoHealthcheck), []string{"10.0.0.1:8080", "10.0.0.2:8080"}},
		{events.ActionPause, running("a", "10.0.0.1", container.Healthy, func(c *container.InspectResponse) { c.State.Status = container.StatePaused }), []string{"10.0.0.2:8080"}},
		{events.ActionUnPause, running("a", "10.0.0.1", container.Healthy), []string{"10.0.0.1:8080", "10.0.0.2:8080"}},
		{events.ActionDie, running("b", "10.0.0.2", container.Healthy, func(c *container.InspectResponse) { c.State.Status = container.StateExited }), []string{"10.0.0.1:8080"}},
	} {
		ours.become(step.now)
		ours.events <- events.Message{Type: events.ContainerEventType, Action: step.action, Actor: events.Actor{ID: step.now.ID, Attributes: step.now.Config.Labels}}
		f.haveReady(t, step.ready...)
	}
	published := find(t, open(t, docker.Definition(), "host: unix:"+ours.path+"\nports: host\n"), "docker", "users")
	published.haveReady(t, "127.0.0.1:32768")
}
