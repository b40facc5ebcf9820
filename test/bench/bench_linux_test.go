package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv(holding) != "" { // this program was started to hold connections
		os.Exit(run(nil, os.Stdout))
	}
	os.Exit(m.Run())
}

// printer logs line by line what is written to it.
type printer struct{ testing.TB }

func (p printer) Write(text []byte) (int, error) {
	p.Logf("%s", text)
	return len(text), nil
}

// inShort runs every case for a moment.
func inShort() options {
	return options{rounds: 1, time: 200 * time.Millisecond, minutes: 60, peers: "nginx,haproxy,own,std", idle: 100, settle: time.Millisecond, tries: 1}
}

// TestInShort runs every case with every available peer except Caddy, which takes minutes to build. It prints the
// figures and judges no time: it fails if an answer is wrong or a request is lost.
func TestInShort(t *testing.T) {
	o := inShort()
	o.page = filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(o.page, []byte("# Before\n"+begins+"earlier figures\n"+ends+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := measureAll(t.Context(), o, printer{t})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds() {
		for _, p := range b.peers {
			if got := b.samples[k.name][p.name]; len(got) != 1 || got[0].answers == 0 || got[0].cpu == 0 {
				t.Errorf("%s, %s: %+v", p.title, k.title, got)
			}
			if _, counted := b.allocations[k.name][p.name]; counted != (p.engine != "" && !k.reloads) {
				t.Errorf("%s, %s: whether allocations were counted: %t", p.title, k.title, counted)
			}
		}
	}
	holdPage(t, o.page)
}

// holdPage checks that figures and plots are written, and that the text around them stays.
func holdPage(t *testing.T, page string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), begins)
	figures, after, _ := strings.Cut(rest, ends)
	if before != "# Before\n" || after != "after\n" || strings.Contains(figures, "earlier figures") {
		t.Errorf("the page is not what it was around its figures:\n%s", text)
	}
	plots, err := filepath.Glob(filepath.Join(strings.TrimSuffix(page, ".md"), "*.svg"))
	if err != nil || len(plots) != 3 {
		t.Fatalf("there are %d plots, %v", len(plots), err)
	}
	for _, plot := range plots {
		drawing, err := os.ReadFile(plot)
		if err != nil {
			t.Fatal(err)
		}
		for tokens := xml.NewDecoder(bytes.NewReader(drawing)); ; {
			if _, err := tokens.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", plot, err)
			}
		}
		if link := "(page/" + filepath.Base(plot) + ")"; !strings.Contains(figures, link) {
			t.Errorf("there is no picture %s", link)
		}
	}
}

// most is how many allocations the whole of Weir may make per request, including timers and whatever else it does
// meanwhile; on a busy machine that is a few more.
var most = map[string]map[string]float64{
	"get":      {"own": 2, "std": 125},
	"usual":    {"own": 2, "std": 125},
	"post":     {"own": 4, "std": 150},
	"100k":     {"own": 3, "std": 130},
	"fields":   {"own": 2, "std": 160},
	"fresh":    {"own": 5, "std": 165},
	"filter":   {"own": 3, "std": 135},
	"observed": {"own": 3, "std": 125},
}

// TestARequestTakesAsLittleMemoryAsIsStated counts allocations in the binary that would serve in production.
func TestARequestTakesAsLittleMemoryAsIsStated(t *testing.T) {
	const requests = 4000
	o := inShort()
	o.peers = "own,std"
	b := &bench{options: o, ctx: t.Context(), out: printer{t}, rooms: map[string]*room{}}
	if err := b.prepare(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.tidyUp(); err != nil {
			t.Error(err)
		}
	})
	for _, k := range kinds() {
		if most[k.name] == nil {
			continue
		}
		if err := b.with(k.profile, func(servers []*server) error {
			for _, s := range servers {
				holdAllocations(t, k, s, requests, most[k.name][s.name])
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func holdAllocations(t *testing.T, k kind, s *server, requests int, bound float64) {
	t.Helper()
	l, err := k.open(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	ask := func(many int) (asked int) {
		for asked < many {
			got, err := l.run(50*time.Millisecond, 0)
			if err == nil {
				err = got.judge(k, s)
			}
			if err != nil {
				t.Fatalf("%s, %s: %v", s.title, k.title, err)
			}
			asked += got.answers
		}
		return asked
	}
	each, err := s.allocations(func() (int, error) { return ask(requests), nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s, %s: %.1f allocations", s.title, k.title, each)
	if each > bound {
		t.Errorf("%s, %s: %.1f allocations for a request; %g are stated", s.title, k.title, each, bound)
	}
}

func TestSystemCallsAreThoseOfTheTable(t *testing.T) {
	got := countCalls(`% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 61.90    0.003900           3      1300           read
 30.10    0.001900           2       650        12 epoll_pwait
  8.00    0.000500           5       100           write
------ ----------- ----------- --------- --------- ----------------
100.00    0.006300           3      2050        12 total
`, 100)
	want := map[string]float64{"read": 13, "epoll_pwait": 6.5, "write": 1}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
