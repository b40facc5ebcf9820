package compose_test

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/listen"
	"github.com/weir-gateway/weir/internal/wire/transport"
	"github.com/weir-gateway/weir/test/weirtest"
)

var rounds = flag.Int("rounds", 0, "measure what a composition costs against aggregators that are written by hand, so many rounds")

// roleVariable makes the test's program one of the processes that are measured.
const roleVariable = "WEIR_TEST_ROLE"

// backendsVariable tells an aggregator where the backends are.
const backendsVariable = "WEIR_TEST_BACKENDS"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	weirtest.Cleanup()
	os.Exit(code)
}

// names are the names of the backends, which are also keys of the answer.
var names = []string{"profile", "orders", "offers"}

// document is the answer of the backend with that name: 1 KiB of JSON.
func document(name string) string {
	text := `{"name":"` + name + `","id":9007199254740993,"items":[`
	for i := 0; len(text) < 980; i++ {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf(`{"id":%d,"total":%d.50,"open":true}`, i, 10*i)
	}
	text += `],"fill":"`
	const size = 1 << 10
	return text + strings.Repeat("x", max(0, size-len(text)-2)) + `"}`
}

// play runs such a process: it serves until its input ends.
func play(role string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it lives as long as the process
	if err != nil {
		return err
	}
	addresses := strings.Split(os.Getenv(backendsVariable), ",")
	var served func() error
	switch role {
	case "backends":
		served = standard(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, document(strings.TrimPrefix(r.URL.Path, "/")))
		}))
	case "own": // hand-written, on Weir's own engine and transport
		t, err := transport.New(transport.Options{Engine: config.OwnEngine})
		if err != nil {
			return err
		}
		served = listen.New(listen.Options{
			Listener: l, Engine: config.OwnEngine, Log: slog.New(slog.DiscardHandler), Handler: aggregator{t.RoundTrip, addresses},
		}).Serve
	case "std": // hand-written, with net/http
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 100
		served = standard(l, aggregator{(&http.Client{Transport: t}).Do, addresses})
	}
	_, _ = fmt.Fprintln(os.Stdout, l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return served()
}

func standard(l net.Listener, h http.Handler) func() error {
	return func() error { return (&http.Server{Handler: h, ReadHeaderTimeout: time.Minute}).Serve(l) }
}

// aggregator calls three backends at once and merges their answers into one. It limits time and size, because nobody
// would run it in production without that.
type aggregator struct {
	do        func(*http.Request) (*http.Response, error)
	addresses []string
}

func (a aggregator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
	defer cancel()
	bodies, failures := make([]json.RawMessage, len(names)), make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			if bodies[i], failures[i] = a.ask(ctx, a.addresses[i], name); failures[i] != nil {
				cancel()
			}
		})
	}
	all.Wait()
	for _, err := range failures {
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
	}
	answer, err := json.Marshal(struct {
		Profile json.RawMessage `json:"profile"`
		Orders  json.RawMessage `json:"orders"`
		Offers  json.RawMessage `json:"offers"`
	}{bodies[0], bodies[1], bodies[2]})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer)
}

func (a aggregator) ask(ctx context.Context, address, name string) (json.RawMessage, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/"+name, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	res, err := a.do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", name, res.StatusCode)
	}
	return io.ReadAll(io.LimitReader(res.Body, 1<<20))
}

// program is a process that is measured.
type program struct {
	name, address string
	pid           int
}

func start(t *testing.T, role string, backends []string) program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self)
	c.Env = append(os.Environ(), roleVariable+"="+role, backendsVariable+"="+strings.Join(backends, ","))
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = c.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return program{role, strings.TrimSpace(address), c.Process.Pid}
}

// weir runs the composition that does the same.
func weir(t *testing.T, backends []string) program {
	t.Helper()
	text := "listen: 127.0.0.1:0\nengine: own\ntelemetry: { access_log: off }\nroutes:\n  GET /home:\n    compose:\n"
	for i, name := range names {
		text += fmt.Sprintf("      %s: http://%s/%s\n", name, backends[i], name)
	}
	file := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g := weirtest.Start(t, file)
	return program{"weir", g.Address, g.Pid()}
}

// cpu returns the processor time of the threads of a process (proc(5), schedstat).
func (p program) cpu(t *testing.T) time.Duration {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("no threads of %s: %v", p.name, err)
	}
	var sum time.Duration
	for _, file := range threads {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		ran, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(ran, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(n)
	}
	return sum
}

// ask sends n requests over each of several connections, and returns the CPU time of one request.
func (p program) ask(t *testing.T, client *http.Client, want string, n int) float64 {
	t.Helper()
	const connections = 4
	begin := p.cpu(t)
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			for range n {
				if err := p.once(t.Context(), client, want); err != nil {
					t.Errorf("%s: %v", p.name, err)
					return
				}
			}
		})
	}
	all.Wait()
	return float64((p.cpu(t) - begin).Microseconds()) / float64(connections*n)
}

func (p program) once(ctx context.Context, client *http.Client, want string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/home", nil)
	if err != nil {
		return err
	}
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != want {
		return fmt.Errorf("%d, %.60q: %w", res.StatusCode, body, err)
	}
	return nil
}

// TestFiguresOfCompositions measures the CPU time of one answer that is merged from three, in rounds in which all
// programs take turns. It judges answers only. Without -rounds there is one short round.
func TestFiguresOfCompositions(t *testing.T) {
	backends := slices.Repeat([]string{start(t, "backends", nil).address}, len(names))
	programs := []program{weir(t, backends), start(t, "own", backends), start(t, "std", backends)}
	want := fmt.Sprintf(`{"profile":%s,"orders":%s,"offers":%s}`, document(names[0]), document(names[1]), document(names[2]))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 10}}
	defer client.CloseIdleConnections()
	many := 250
	if *rounds == 0 {
		many = 1
	}
	costs := make([][]float64, len(programs))
	for round := range *rounds + 1 {
		for i := range programs {
			at := (round + i) % len(programs)
			cost := programs[at].ask(t, client, want, many)
			if round > 0 { // the first round is a warm-up
				costs[at] = append(costs[at], cost)
			}
		}
	}
	if *rounds == 0 {
		return
	}
	load, _ := os.ReadFile("/proc/loadavg")
	t.Logf("load %s", load)
	for i, p := range programs {
		t.Logf("%-5s %6.1f us of CPU an answer (quartiles %.1f to %.1f)", p.name, quartile(costs[i], 2), quartile(costs[i], 1), quartile(costs[i], 3))
	}
	for i, aim := range []string{1: "1.2", 2: "0.6"} {
		if i == 0 {
			continue
		}
		var ratios []float64
		for round := range costs[0] {
			ratios = append(ratios, costs[0][round]/costs[i][round])
		}
		t.Logf("weir / %s: %.2f (quartiles %.2f to %.2f; aimed at: %s at most)", programs[i].name, quartile(ratios, 2), quartile(ratios, 1), quartile(ratios, 3), aim)
	}
}

func quartile(list []float64, n int) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[(len(sorted)-1)*n/4]
}
