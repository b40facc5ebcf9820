package dns

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	protocol "github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a server of names on loopback that answers from records, unless its answer is
// scripted.
type server struct {
	t       *testing.T
	address string

	mu      sync.Mutex
	records []protocol.RR
	script  func(w protocol.ResponseWriter, m *protocol.Msg) (done bool) // nil: none
	asked   map[string]int                                               // by "A users.internal. udp"
}

// serve starts a server of these records, one in a line as in a zone file.
func serve(t *testing.T, records ...string) *server {
	t.Helper()
	s := &server{t: t, asked: map[string]int{}}
	s.set(records...)
	packets, streams := onePort(t)
	s.address = packets.LocalAddr().String()
	for _, one := range []*protocol.Server{{PacketConn: packets}, {Listener: streams}} {
		one.Handler = protocol.HandlerFunc(s.answer)
		started, ended := make(chan struct{}), make(chan struct{})
		one.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(ended)
			if err := one.ActivateAndServe(); err != nil {
				t.Errorf("the server of names: %v", err)
			}
		}()
		<-started
		t.Cleanup(func() { _ = one.Shutdown(); <-ended })
	}
	return s
}

// onePort listens on a port that is free for both.
func onePort(t *testing.T) (packets net.PacketConn, streams net.Listener) {
	t.Helper()
	for range 1000 {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if streams, err := net.Listen("tcp", packets.LocalAddr().String()); err == nil {
			return packets, streams
		}
		_ = packets.Close()
	}
	t.Fatal("no port is free")
	return nil, nil
}

func (s *server) set(records ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = nil
	for _, text := range records {
		rr, err := protocol.NewRR(text)
		if err != nil {
			s.t.Fatalf("%s: %v", text, err)
		}
		s.records = append(s.records, rr)
	}
}

// will has the server answer by script instead; nil: by its records again.
func (s *server) will(script func(w protocol.ResponseWriter, m *protocol.Msg) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

func (s *server) times(question string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[question]
}

func (s *server) answer(w protocol.ResponseWriter, m *protocol.Msg) {
	q := m.Question[0]
	network := w.RemoteAddr().Network()
	s.mu.Lock()
	s.asked[protocol.TypeToString[q.Qtype]+" "+strings.ToLower(q.Name)+" "+network]++
	script := s.script
	res := s.reply(m)
	s.mu.Unlock()
	if script != nil && script(w, m) {
		return
	}
	if network == "udp" {
		size := protocol.MinMsgSize
		if o := m.IsEdns0(); o != nil {
			size = int(o.UDPSize())
		}
		res.Truncate(size)
	}
	_ = w.WriteMsg(res) // who asked may have left
}

// reply answers as a server does that follows aliases.
func (s *server) reply(m *protocol.Msg) *protocol.Msg {
	res := new(protocol.Msg)
	res.SetReply(m)
	res.RecursionAvailable = true
	name, exists := strings.ToLower(m.Question[0].Name), false
	for range 20 {
		next := ""
		for _, rr := range s.records {
			if strings.ToLower(rr.Header().Name) != name {
				continue
			}
			exists = true
			if alias, ok := rr.(*protocol.CNAME); ok {
				next = strings.ToLower(alias.Target)
				res.Answer = append(res.Answer, rr)
			} else if rr.Header().Rrtype == m.Question[0].Qtype {
				res.Answer = append(res.Answer, rr)
			}
		}
		if next == "" {
			break
		}
		name, exists = next, false
	}
	if !exists {
		res.Rcode = protocol.RcodeNameError
	}
	if len(res.Answer) == 0 {
		for _, rr := range s.records {
			if rr.Header().Rrtype == protocol.TypeSOA {
				res.Ns = append(res.Ns, rr)
			}
		}
	}
	return res
}

func fails(code int) func(w protocol.ResponseWriter, m *protocol.Msg) bool {
	return func(w protocol.ResponseWriter, m *protocol.Msg) bool {
		res := new(protocol.Msg)
		res.SetRcode(m, code)
		_ = w.WriteMsg(res) // as in answer
		return true
	}
}

// machineOf is a machine with these files, on which every address can be reached.
func machineOf(t *testing.T, conf, hostsFile string) *hub {
	t.Helper()
	h := newHub()
	folder := t.TempDir()
	h.system = false
	h.usable = func(netip.Addr) bool { return true }
	h.conf.path, h.hosts.path = filepath.Join(folder, "resolv.conf"), filepath.Join(folder, "hosts")
	for path, text := range map[string]string{h.conf.path: conf, h.hosts.path: hostsFile} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// running is a provider at work.
type running struct {
	t     *testing.T
	sets  chan []discovery.Endpoint
	parts chan []discovery.Endpoint
	looks chan error
	stop  func()
}

func (h *hub) run(t *testing.T, s config.Service) *running {
	t.Helper()
	r := &running{t: t, sets: make(chan []discovery.Endpoint, 1000), parts: make(chan []discovery.Endpoint, 1000), looks: make(chan error, 1000)}
	p, err := h.provider(discovery.Env{
		Log: slog.New(slog.DiscardHandler), Looked: func(err error) { r.looks <- err }, Partly: func(list []discovery.Endpoint) { r.parts <- list },
	}, s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx, func(list []discovery.Endpoint) { r.sets <- list }) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the provider ended with %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// next is the next set that is told.
func (r *running) next() []discovery.Endpoint {
	r.t.Helper()
	return await.From(r.t, "a set", r.sets)
}

// look is what came of the next look.
func (r *running) look() error {
	r.t.Helper()
	return await.From(r.t, "a look", r.looks)
}

func source(scheme, rest string, servers ...string) config.Service {
	s := config.Service{Name: "users", Source: config.Ref{Scheme: scheme, Rest: rest}}
	if len(servers) > 0 {
		s.Resolver = &config.Resolver{Servers: servers, MinTTL: 100 * time.Millisecond, Timeout: 10 * time.Second}
	}
	return s
}

// show writes a set as a text.
func show(list []discovery.Endpoint) string {
	var all []string
	for _, e := range list {
		text := e.Address
		if e.Fallback != "" {
			text += "|" + e.Fallback
		}
		if e.Name != "" {
			text += " " + e.Name
		}
		if e.Weight != 1 {
			text += " *" + string(rune('0'+e.Weight%10))
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
