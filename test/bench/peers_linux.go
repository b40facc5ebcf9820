package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"text/template"
	"time"
)

//go:embed configs
var configs embed.FS

// peer is a proxy that is measured.
type peer struct {
	name    string // on the command line
	title   string // on the page
	colour  string // on plots; they also differ in lightness
	config  string // its name in configs
	version string
	program string // path
	engine  string // Weir's
	// arguments returns the arguments of the program; with reloading, also those that let it change its config later.
	arguments func(config string, reloading bool) []string
	// reload makes the server use what is in its config file.
	reload func(*server) error
}

// site is the data that a config is made from.
type site struct {
	Name, Engine   string
	Shared, Folder string // for all peers, and for this profile in this round
	Profile        string
	Upstream, Own  int // ports of the origins
	Plain, Secure  int // ports of this proxy
	Admin          int
	Cores          int
	Routes         []string // paths; none means one route for everything
	Generation     int      // of the config; it changes with each reload
	Small          string
}

// server is a running peer.
type server struct {
	*peer
	*process

	site
	file string
}

// theirs returns the peers that are available; missing says why the others are not.
func theirs(ctx context.Context, scratch, root string, wanted func(name string) bool, out io.Writer) (found []*peer, missing []string) {
	all := []*peer{
		{name: "nginx", title: "nginx", colour: "#7b8794", config: "nginx.conf", reload: signalled(syscall.SIGHUP), arguments: func(config string, _ bool) []string {
			return []string{"-e", config + ".err", "-c", config}
		}},
		{name: "haproxy", title: "HAProxy", colour: "#3b82c4", config: "haproxy.cfg", reload: signalled(syscall.SIGUSR2), arguments: func(config string, reloading bool) []string {
			if reloading {
				return []string{"-W", "-db", "-f", config}
			}
			return []string{"-db", "-f", config}
		}},
		{name: "caddy", title: "Caddy", colour: "#c2573a", config: "Caddyfile", reload: loaded, arguments: func(config string, _ bool) []string {
			return []string{"run", "--adapter", "caddyfile", "--config", config}
		}},
	}
	for _, weir := range []struct{ engine, colour string }{{"own", "#0f9d6b"}, {"std", "#8fd3b6"}} {
		all = append(all, &peer{name: weir.engine, title: "Weir, " + weir.engine, colour: weir.colour, config: "weir.yaml", engine: weir.engine, reload: signalled(syscall.SIGHUP), arguments: func(config string, _ bool) []string {
			return []string{"run", config, "--state", "off", "--log", "warn"}
		}})
	}
	for _, p := range all {
		if !wanted(p.name) {
			continue
		}
		if err := p.find(ctx, scratch, root, out); err != nil {
			missing = append(missing, fmt.Sprintf("%s is left out: %v", p.title, err))
			continue
		}
		found = append(found, p)
	}
	return found, missing
}

// find looks for the program, or builds it.
func (p *peer) find(ctx context.Context, scratch, root string, out io.Writer) (err error) {
	switch p.name {
	case "nginx", "haproxy":
		if p.program, err = exec.LookPath(p.name); err != nil {
			if p.program, err = exec.LookPath("/usr/sbin/" + p.name); err != nil {
				return errors.New("it is not installed")
			}
		}
		said, err := exec.CommandContext(ctx, p.program, "-v").CombinedOutput()
		p.version = regexp.MustCompile(`\d+\.\d+\.\d+`).FindString(string(said))
		return err
	case "caddy":
		p.program = filepath.Join(scratch, "caddy")
		fmt.Fprintln(out, "building Caddy; the first time takes minutes")
		if err := build(ctx, filepath.Join(root, "test", "bench", "caddy"), p.program, "."); err != nil {
			return err
		}
		said, err := exec.CommandContext(ctx, "go", "version", "-m", p.program).Output()
		p.version = regexp.MustCompile(`caddyserver/caddy/v2\s+v(\S+)`).FindStringSubmatch(string(said) + " caddyserver/caddy/v2 v?")[1]
		return err
	default: // each has a binary of its own, so that they share no memory
		p.program = filepath.Join(scratch, "weir-"+p.name)
		return build(ctx, root, p.program, "./cmd/weir")
	}
}

// build builds a program as releases are built.
func build(ctx context.Context, folder, program, what string) error {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, what)
	command.Dir, command.Env = folder, append(os.Environ(), "CGO_ENABLED=0")
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, said[max(0, len(said)-500):])
	}
	return nil
}

// write writes the config.
func (s *server) write() error {
	names := []string{s.config}
	if s.config == "haproxy.cfg" {
		names = append(names, "haproxy.map")
	}
	for _, name := range names {
		if err := fill(name, filepath.Join(s.Folder, strings.Replace(name, "weir", "weir-"+s.Name, 1)), s.site); err != nil {
			return err
		}
	}
	return nil
}

// fill writes a config from one of the templates in configs.
func fill(name, file string, about any) error {
	parsed, err := template.ParseFS(configs, "configs/"+name)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := parsed.Execute(&text, about); err != nil {
		return err
	}
	whole := file + ".new"
	return errors.Join(os.WriteFile(whole, text.Bytes(), 0o600), os.Rename(whole, file))
}

// start runs a peer. When it returns, the peer serves.
//
// It runs a new copy of the program each time. Where in physical memory the pages of a program lie decides which of
// them the processor's caches can hold together, and makes a difference of nearly 2 % to a request. They stay
// there for as long as the file is in the page cache, so all measurements of one file have the same luck.
func (p *peer) start(at site, processors []int) (*server, error) {
	at.Name, at.Engine = p.name, p.engine
	for _, port := range []*int{&at.Plain, &at.Secure, &at.Admin} {
		var err error
		if *port, err = freePort(); err != nil {
			return nil, err
		}
	}
	s := &server{peer: p, site: at, file: filepath.Join(at.Folder, strings.Replace(p.config, "weir", "weir-"+p.name, 1))}
	if err := s.write(); err != nil {
		return nil, err
	}
	program, err := copyTo(at.Folder, p.program)
	if err != nil {
		return nil, err
	}
	argv := append([]string{program}, p.arguments(s.file, at.Profile == "reload")...)
	if s.process, err = start(filepath.Join(at.Folder, p.name+".log"), processors, argv...); err != nil {
		return nil, err
	}
	if err := s.awaitAnswer(); err != nil {
		s.stop()
		return nil, fmt.Errorf("%s: %w", p.title, err)
	}
	return s, nil
}

// pieceOf is how much of a program is written at once. If a file is written in pieces of megabytes, Linux may map its
// code by large pages, as few installed programs are: on a virtual machine a request then took 4 % more time.
const pieceOf = 32 << 10

// copyTo copies a program into a folder, and returns the path of the copy. The copy is on the disk then, so that the
// system does not write it during a sample. No process is started meanwhile: it would have the file open for writing
// for a moment, and then the copy could not be started.
func copyTo(folder, program string) (string, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	from, err := os.Open(program)
	if err != nil {
		return "", err
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(folder, filepath.Base(program)), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755) //nolint:gosec // it is a program
	if err != nil {
		return "", err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, pieceOf))
	return to.Name(), errors.Join(err, to.Sync(), to.Close())
}

// Ports that the operating system does not use for outgoing connections, of which there are very many here.
const lowestPort, highestPort = 10_000, 32_767

// tried is the last port that freePort tried, counted from a random start, so that no port is given twice.
var tried = rand.Uint32() //nolint:gosec // nobody is to be kept from guessing it

// freePort returns a port on which nothing listens.
func freePort() (int, error) {
	for range 100 {
		port := lowestPort + int(atomic.AddUint32(&tried, 1)%(highestPort-lowestPort+1))
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no port from %d to %d is free", lowestPort, highestPort)
}

// path returns a path that this site answers from the origin.
func (s *server) path() string {
	if len(s.Routes) > 0 {
		return s.Routes[len(s.Routes)/2]
	}
	return "/"
}

func (s *server) awaitAnswer() error {
	err := errors.New("it does not answer")
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
		if ended := s.ended(); ended != nil {
			return ended
		}
		if err = s.check(); err == nil {
			return nil
		}
	}
	return err
}

// check checks that the proxy does all of its work, so that it cannot be fast by leaving something out.
func (s *server) check() error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	got, head, err := s.get(client, http.MethodGet, s.path(), "")
	switch {
	case err != nil:
		return err
	case got != s.Small:
		return fmt.Errorf("%d bytes come that are not the origin's", len(got))
	case s.Profile == "filter" && (head.Get("X-Served-By") != "bench" || head.Get("X-Powered-By") != ""):
		return fmt.Errorf("the response's fields are not changed: %v", head)
	}
	said := string(bodyOf(4096))
	if got, head, err = s.get(client, http.MethodPost, "/own/echo", said); err != nil {
		return err
	}
	switch {
	case got != said:
		return errors.New("content is not passed as it is")
	case head.Get("Saw-X-Forwarded-For") == "":
		return errors.New("the origin is not told who asks")
	case (s.Profile == "observed" || s.Profile == "usual" && s.engine != "") && head.Get("Saw-X-Request-Id") == "":
		return errors.New("the origin is not told an id")
	case s.Profile != "observed" && s.Profile != "usual" && head.Get("Saw-X-Request-Id") != "":
		return errors.New("the origin is told an id that the others do not tell")
	case s.Profile == "filter" && (head.Get("Saw-X-Tenant") != "blue" || head.Get("Saw-X-Debug") != ""):
		return fmt.Errorf("the request's fields are not changed: %v", head)
	}
	return nil
}

// get sends one request.
func (s *server) get(client *http.Client, method, path, content string) (string, http.Header, error) {
	request, err := http.NewRequestWithContext(context.Background(), method, fmt.Sprintf("http://127.0.0.1:%d%s", s.Plain, path), strings.NewReader(content))
	if err != nil {
		return "", nil, err
	}
	request.Header.Set("X-Debug", "1")
	res, err := client.Do(request)
	if err != nil {
		return "", nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %.300s", method, path, res.Status, body)
	}
	return string(body), res.Header, err
}

// signalled returns a reload by a signal.
func signalled(signal syscall.Signal) func(*server) error {
	return func(s *server) error { return syscall.Kill(s.command.Process.Pid, signal) }
}

// loaded reloads through the API that Caddy's own command uses.
func loaded(s *server) error {
	text, err := os.Open(s.file)
	if err != nil {
		return err
	}
	defer text.Close()
	res, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/load", s.Admin), "text/caddyfile", text)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		told, _ := io.ReadAll(res.Body) // only for the error message
		return fmt.Errorf("%s: %s", res.Status, told)
	}
	return nil
}
