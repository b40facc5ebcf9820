package docker

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// daemon is what of Docker's API the provider uses, as its documentation has it, over a Unix socket.
type daemon struct {
	testing.TB

	path   string
	server *httptest.Server
	opened atomic.Int64 // connections

	mu         sync.Mutex
	version    string
	containers map[string]map[string]any
	asked      map[string]int
	streams    map[chan string]bool
	instead    http.HandlerFunc
}

func startDaemon(t testing.TB) *daemon {
	t.Helper()
	d := &daemon{TB: t, path: filepath.Join(t.TempDir(), "d.sock"), version: "1.47", containers: map[string]map[string]any{}, asked: map[string]int{}, streams: map[chan string]bool{}}
	d.start()
	t.Cleanup(func() { d.end() })
	return d
}

func (d *daemon) start() {
	d.Helper()
	l, err := net.Listen("unix", d.path) //nolint:noctx // nothing can take long
	if err != nil {
		d.Fatal(err)
	}
	d.server = httptest.NewUnstartedServer(http.HandlerFunc(d.serve))
	_ = d.server.Listener.Close() // the one that it brings along
	d.server.Listener = l
	d.server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			d.opened.Add(1)
		}
	}
	d.server.Start()
}

// end ends the daemon as a crash does.
func (d *daemon) end() {
	d.mu.Lock()
	for s := range d.streams {
		close(s)
		delete(d.streams, s)
	}
	d.mu.Unlock()
	d.server.CloseClientConnections()
	d.server.Close()
}

func (d *daemon) serve(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	d.asked[r.URL.RequestURI()]++
	instead := d.instead
	d.mu.Unlock()
	if instead != nil {
		instead(w, r)
		return
	}
	path, versioned := strings.CutPrefix(r.URL.Path, "/v"+d.version)
	id, isOne := strings.CutPrefix(path, "/containers/")
	switch {
	case r.URL.Path == "/_ping":
		w.Header().Set("Api-Version", d.version)
		_, _ = w.Write([]byte("OK"))
	case !versioned:
		http.Error(w, `{"message":"client version is too new"}`, http.StatusBadRequest)
	case path == "/events":
		d.stream(w, r)
	case path == "/containers/json":
		d.list(w)
	case isOne:
		d.inspect(w, strings.TrimSuffix(id, "/json"))
	default:
		http.Error(w, `{"message":"page not found"}`, http.StatusNotFound)
	}
}

func (d *daemon) stream(w http.ResponseWriter, r *http.Request) {
	events := make(chan string, 1000)
	d.mu.Lock()
	d.streams[events] = true
	d.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				panic(http.ErrAbortHandler)
			}
			_, _ = fmt.Fprintln(w, e)
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			d.mu.Lock()
			delete(d.streams, events)
			d.mu.Unlock()
			return
		}
	}
}

func (d *daemon) list(w http.ResponseWriter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := []map[string]any{}
	for id, c := range d.containers {
		state, _ := c["State"].(map[string]any)
		config, _ := c["Config"].(map[string]any)
		if state["Status"] != "exited" && state["Status"] != "created" {
			list = append(list, map[string]any{"Id": id, "Names": []string{"/x"}, "Labels": config["Labels"], "State": state["Status"], "Status": "Up 3 minutes"})
		}
	}
	_ = json.NewEncoder(w).Encode(list)
}

func (d *daemon) inspect(w http.ResponseWriter, id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.containers[id]
	if c == nil {
		http.Error(w, `{"message":"No such container: `+id+`"}`, http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(c)
}

// change changes a container, nil for one that is removed, and tells of it.
func (d *daemon) change(id, action string, c map[string]any, attributes ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	labels := map[string]string{}
	if c == nil {
		c = d.containers[id]
		delete(d.containers, id)
	} else {
		d.containers[id] = c
	}
	config, _ := c["Config"].(map[string]any)
	if own, ok := config["Labels"].(map[string]string); ok {
		maps.Copy(labels, own)
	}
	for i := 0; i+1 < len(attributes); i += 2 {
		labels[attributes[i]] = attributes[i+1]
	}
	text, _ := json.Marshal(map[string]any{"Type": "container", "Action": action, "Actor": map[string]any{"ID": id, "Attributes": labels}, "scope": "local", "time": 1, "timeNano": 1})
	d.tell(string(text))
}

// tell tells everybody of an event. d is locked.
func (d *daemon) tell(event string) {
	for s := range d.streams {
		s <- event
	}
}

// silently changes a container of which nobody is told.
func (d *daemon) silently(id string, c map[string]any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.containers[id] = c
}

func (d *daemon) do(change func(d *daemon)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

// made is a container that runs, at an address of one network, with labels in pairs.
func made(id, ip string, labels ...string) map[string]any {
	all := map[string]string{}
	for i := 0; i+1 < len(labels); i += 2 {
		all[labels[i]] = labels[i+1]
	}
	return map[string]any{
		"Id": id, "Name": "/" + id, "Created": "2026-01-01T00:00:00Z",
		"State":      map[string]any{"Status": "running", "Running": true, "Paused": false, "StartedAt": "2026-01-01T00:00:01Z", "Health": nil},
		"Config":     map[string]any{"Labels": all, "ExposedPorts": map[string]any{"8080/tcp": map[string]any{}}},
		"HostConfig": map[string]any{"NetworkMode": "shop_default"},
		"NetworkSettings": map[string]any{
			"Ports":    map[string]any{"8080/tcp": nil},
			"Networks": map[string]any{"shop_default": map[string]any{"IPAddress": ip, "GlobalIPv6Address": ""}},
		},
	}
}

// with sets what stands at a path of names.
func with(c map[string]any, value any, path ...string) map[string]any {
	at := c
	for _, name := range path[:len(path)-1] {
		at, _ = at[name].(map[string]any)
	}
	at[path[len(path)-1]] = value
	return c
}
