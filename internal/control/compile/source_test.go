package compile_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/compile"
	"github.com/weir-gateway/weir/internal/discovery"
)

// directory is a kind of source that a test looks into: each opening of it is a book, and every
// service that is found in a book has the one address that its settings name.
type directory struct {
	mu  sync.Mutex
	log []string
}

type directorySettings struct {
	Address string         `doc:"address,empty" help:"of everything"`
	Token   *config.Secret `doc:"token" help:"shown by whoever asks"`
}

func (d *directory) note(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = append(d.log, what)
}

// noted gives what has happened since it was asked last.
func (d *directory) noted() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	text := strings.Join(d.log, "; ")
	d.log = nil
	return text
}

var errNoAddress = errors.New("it has no address")

func (d *directory) definition() discovery.Definition {
	schemes := []discovery.Scheme{{Scheme: config.Scheme{Name: "book", Summary: "a test's", Example: "book:users"}}}
	return discovery.Define("book", "a test's", schemes, func() directorySettings { return directorySettings{Address: "nowhere:1"} },
		func(env discovery.SourceEnv, settings *directorySettings) (discovery.Source, error) {
			if settings.Address == "" {
				return nil, errNoAddress
			}
			b := &book{directory: d, address: settings.Address}
			if settings.Token != nil {
				value, err := env.Secret(settings.Token.Template)
				if err != nil {
					return nil, err
				}
				b.token = value.Reveal()
			}
			if !env.Checked {
				d.note("open" + b.token)
			}
			return b, nil
		})
}

type book struct {
	directory      *directory
	address, token string
	running        sync.WaitGroup
}

func (b *book) Provider(_ discovery.Env, s config.Service) (discovery.Provider, error) {
	return page{b, s.Source.Rest}, nil
}

func (b *book) Close() {
	b.running.Wait() // were one still to come, the race detector would tell
	b.directory.note("close" + b.token)
}

type page struct {
	book *book
	name string
}

func (p page) Run(ctx context.Context, set func([]discovery.Endpoint)) error {
	p.book.running.Add(1)
	defer p.book.running.Done()
	set([]discovery.Endpoint{{Address: p.book.address, Weight: 1}})
	<-ctx.Done()
	p.book.directory.note("end " + p.name)
	return nil
}

func TestServicesOfOneKindShareASourceUntilItsSettingsOrSecretsChange(t *testing.T) {
	w := newWorld(t)
	var d directory
	w.parts.Providers = append(w.parts.Providers, d.definition())
	w.compiler = compile.New(w.parts, compile.Options{Log: slog.New(slog.DiscardHandler), Secret: secret.Resolve})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	token := filepath.Join(w.folder, "token")
	write := func(text string) {
		if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	routes := "routes:\n  ANY /a/**: { to: 'book:a' }\n  ANY /b/**: { to: 'book:b' }\n"
	with := func(token string) string {
		return "discovery:\n  book:\n    address: " + server.Listener.Addr().String() + "\n    token: " + token + "\n"
	}
	step := func(name, text string, want ...string) {
		t.Helper()
		w.serve(w.load(text))
		got := strings.Split(d.noted(), "; ")
		slices.Sort(got)
		if strings.Join(got, "; ") != strings.Join(want, "; ") {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	write("-1")
	step("two services", with("${file:"+token+"}")+routes, "open-1")
	for _, path := range []string{"/a", "/b"} {
		if got := w.get(path).Code; got != http.StatusOK {
			t.Errorf("%s answers %d", path, got)
		}
	}
	step("nothing new", with("${file:"+token+"}")+routes, "")
	write("-2")
	step("another secret", with("${file:"+token+"}")+routes, "close-1", "end a", "end b", "open-2")
	if got := w.get("/a").Code; got != http.StatusOK {
		t.Errorf("by the new source it answers %d", got)
	}
	step("no settings", routes, "close-2", "end a", "end b", "open")
	if got := w.get("/a").Code; got == http.StatusOK {
		t.Error("it asks whom the settings named that are gone")
	}
	w.compiler.Close(context.Background())
	if got := d.noted(); !strings.HasSuffix(got, "; close") {
		t.Errorf("at the end: %s", got)
	}
}

func TestWhatIsWrongWithASourceIsToldWhereItStands(t *testing.T) {
	w := newWorld(t)
	var d directory
	w.parts.Providers = append(w.parts.Providers, d.definition())
	cfg := w.load("discovery:\n  book: { address: '' }\nroutes:\n  ANY /**: { to: 'book:a' }\n")
	_, problems := compile.Check(w.parts, cfg, "")
	if len(problems) != 1 || problems[0].Pos.Line == 0 || !strings.Contains(problems[0].What, "discovery of kind book: it has no address") {
		t.Errorf("told: %+v", problems)
	}
	if got := d.noted(); got != "" {
		t.Errorf("a check did: %s", got)
	}
}
