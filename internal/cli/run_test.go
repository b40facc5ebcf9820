//go:build !windows

package cli_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/cli"
)

// asWeir makes this test binary be weir.
const asWeir = "WEIR_TEST_AS_WEIR"

func TestMain(m *testing.M) {
	if os.Getenv(asWeir) != "" {
		os.Exit(cli.Main(os.Args[1:], "v0.0.0-test", cli.OS()))
	}
	folder, err := os.MkdirTemp("", "weir-state-") // no test touches what the user's own gateways keep
	if err == nil {
		err = os.Setenv("XDG_STATE_HOME", folder)
	}
	if err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

// process is a `weir run` of its own.
type process struct {
	t       *testing.T
	command *exec.Cmd
	lines   chan string // of standard output
	log     await.Text
}

func start(t *testing.T, config string, arguments ...string) *process {
	t.Helper()
	return startCommand(t, append([]string{"run", config, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, arguments...)...)
}

func startCommand(t *testing.T, arguments ...string) *process {
	t.Helper()
	return startBy(t, os.Args[:1], arguments...)
}

// startBy starts a program that becomes this one, with its own arguments before those of the command.
func startBy(t *testing.T, program []string, arguments ...string) *process {
	t.Helper()
	p := &process{t: t, lines: make(chan string, 100)}
	p.command = exec.Command(program[0], append(program[1:len(program):len(program)], arguments...)...)
	p.command.Env = append(os.Environ(), asWeir+"=1")
	p.command.Stderr = &p.log
	out, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.command.Process.Kill() }) // it has ended, unless the test failed
	go func() {
		defer close(p.lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
	}()
	return p
}

// line waits for the next line that begins with prefix, and gives the rest of it.
func (p *process) line(prefix string) string {
	p.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("weir ended before %q:\n%s", prefix, p.log.String())
			}
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return rest
			}
		case <-deadline:
			p.t.Fatalf("no line %q:\n%s", prefix, p.log.String())
		}
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.command.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// wait gives how it ended.
func (p *process) wait() string {
	p.t.Helper()
	timer := time.AfterFunc(20*time.Second, func() { _ = p.command.Process.Kill() })
	defer timer.Stop()
	for range p.lines { // Wait must come after the last read
	}
	_ = p.command.Wait() // the state says it
	return p.command.ProcessState.String()
}

func body(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheStarterIsServedAndSaysWhatToTry(t *testing.T) {
	t.Chdir(t.TempDir())
	if got := weir(false, "init"); got.code != 0 {
		t.Fatal(got)
	}
	p := start(t, "weir.yaml")
	address := p.line("serving on ")
	if admin := p.line("admin on "); body(t, admin+"/healthz") != "ok\n" {
		t.Errorf("admin at %s does not answer", admin)
	}
	url := p.line("try: curl ")
	if url != address+"/hello" || body(t, url) != "Hello from Weir" {
		t.Errorf("try %s: %q", url, body(t, url))
	}
	http.DefaultClient.CloseIdleConnections()
	p.signal(os.Interrupt)
	p.line("stopping")
	if end := p.wait(); end != "exit status 0" {
		t.Errorf("it ended with %s:\n%s", end, p.log.String())
	}
}

// /offers/** covers /offers too, and many a backend knows no /offers/.
func TestTheTryOfAPrefixIsThePrefixItself(t *testing.T) {
	for route, want := range map[string]string{"ANY /offers/**": "/offers", "ANY /**": "/"} {
		path := filepath.Join(t.TempDir(), "weir.yaml")
		if err := os.WriteFile(path, []byte("listen: :8080\nroutes:\n  "+route+": respond:ok\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		p := start(t, path)
		address := p.line("serving on ")
		if got := p.line("try: curl "); got != address+want {
			t.Errorf("%s: try %s, want %s", route, got, address+want)
		}
		p.signal(os.Interrupt)
		_ = p.wait()
	}
}

func TestHangupReadsTheConfigAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("listen: :8080\nroutes:\n  GET /:\n    to: respond:one\n")
	p := start(t, path)
	url := p.line("serving on ") + "/"
	p.line("try: ")
	write("listen: :8080\nroutes:\n  GET /:\n    to: respond:two\n")
	p.signal(syscall.SIGHUP)
	await.That(t, "the new config serves", func() bool { return body(t, url) == "two" })
	write("lisen: :8080\n")
	p.signal(syscall.SIGHUP)
	await.That(t, "the refusal is told", func() bool {
		return strings.Contains(p.log.String(), "the one before serves on") && strings.Contains(p.log.String(), `did you mean \"listen\"?`)
	})
	if got := body(t, url); got != "two" {
		t.Errorf("after a broken file: %q", got)
	}
	p.signal(syscall.SIGTERM)
	if end := p.wait(); end != "exit status 0" {
		t.Errorf("it ended with %s:\n%s", end, p.log.String())
	}
}

// A backend that sends more than it announced makes net/http print what that was:
// a line of the log as all others, and never with a backend's content.
func TestWhatLibrariesPrintIsPartOfTheLog(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				requests := bufio.NewReader(c)
				// All requests are answered: the one after the first may have taken what was too much for its own answer.
				for _, err := http.ReadRequest(requests); err == nil; _, err = http.ReadRequest(requests) {
					_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npassword1")
				}
			}()
		}
	}()
	p := start(t, "http://"+listener.Addr().String(), "--log-format", "json", "--engine", "std")
	url := p.line("serving on ")
	const said = "Unsolicited response received on idle HTTP channel"
	await.That(t, "the library's line is in the log", func() bool {
		body(t, url)
		return strings.Contains(p.log.String(), said)
	})
	p.signal(os.Interrupt)
	_ = p.wait()
	for line := range strings.Lines(p.log.String()) {
		if !strings.HasPrefix(line, "{") || strings.Contains(line, "password1") {
			t.Errorf("the log has the line %s", line)
		}
	}
}

func TestASecondInterruptEndsAtOnce(t *testing.T) {
	secondInterrupt(t, "signal: interrupt", os.Args[0])
}

// A shell that runs a script starts what stands before & with SIGINT ignored.
func TestASecondInterruptEndsAtOnceWhereItWasIgnored(t *testing.T) {
	secondInterrupt(t, "exit status 130", "/bin/sh", "-c", `trap "" INT; exec "$@"`, "sh", os.Args[0])
}

// secondInterrupt interrupts a gateway, which the program starts, twice while a request is under way; that ends it as wanted.
func secondInterrupt(t *testing.T, want string, program ...string) {
	t.Helper()
	entered, leave := make(chan struct{}), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(entered); <-leave }))
	defer slow.Close()
	defer close(leave)
	p := startBy(t, program, "run", slow.URL, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	url := p.line("serving on ")
	failed := make(chan error, 1)
	go func() {
		res, err := http.Get(url)
		if err == nil {
			_ = res.Body.Close()
		}
		failed <- err
	}()
	<-entered
	p.signal(os.Interrupt)
	if got := p.line("stopping: "); got != "1 request may finish within 30s; interrupt again to end at once" {
		t.Errorf("got %q", got)
	}
	p.signal(os.Interrupt)
	if end := p.wait(); end != want {
		t.Errorf("it ended with %s:\n%s", end, p.log.String())
	}
	if err := <-failed; err == nil {
		t.Error("the request was answered")
	}
}

// Nothing has to finish before a config serves, so that nobody needs to
// interrupt twice.
func TestAnInterruptBeforeAnythingServesEndsAtOnce(t *testing.T) {
	for _, command := range []string{"check", "run", "fmt"} {
		t.Run(command, func(t *testing.T) {
			weir := exec.Command(os.Args[0], command, "/dev/stdin")
			weir.Env = append(os.Environ(), asWeir+"=1")
			in, err := weir.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := weir.Start(); err != nil {
				t.Fatal(err)
			}
			stuck := time.AfterFunc(time.Minute, func() { _ = weir.Process.Kill() })
			defer stuck.Stop()
			// More than a pipe holds: when all of it was taken, weir waits for the rest.
			if _, err := in.Write(bytes.Repeat([]byte("# comment\n"), 50_000)); err != nil {
				t.Fatal(err)
			}
			if err := weir.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if err := weir.Wait(); err == nil || err.Error() != "signal: interrupt" {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

// A restart in a bad hour serves what served last, and says so.
func TestAStartServesWhatWasLastGood(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "weir.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("listen: :8080\nroutes:\n  GET /: respond:one\n")
	state := filepath.Join(folder, "state")
	p := start(t, path, "--state", state)
	p.line("serving on ")
	p.signal(syscall.SIGTERM)
	_ = p.wait()
	write("lisen: :8080\n")
	p = start(t, path, "--state", state)
	if got := body(t, p.line("serving on ")+"/"); got != "one" {
		t.Errorf("after a restart with a broken file: %q", got)
	}
	if admin := p.line("admin on "); body(t, admin+"/readyz") != "ready\n" {
		t.Error("it is not ready")
	}
	p.signal(syscall.SIGTERM)
	_ = p.wait() // what it has logged is all here
	for _, want := range []string{`unknown key "lisen"`, "its last good text serves instead", "level=ERROR"} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("nothing says %q:\n%s", want, p.log.String())
		}
	}
	p = start(t, path, "--state", "off")
	if end := p.wait(); end != "exit status 2" || !strings.Contains(p.log.String(), "nothing was started") {
		t.Errorf("without its state: %s\n%s", end, p.log.String())
	}
}
