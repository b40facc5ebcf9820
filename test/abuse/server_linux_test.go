package abuse_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/auth/jwt/jwttest"
	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/secure/securetest"
	"github.com/weir-gateway/weir/test/weirtest"
)

// attackTime is how long a flood may take.
const attackTime = 10 * time.Second

// server is the server under attack.
type server struct {
	name          string
	plain, secure string // addresses
	processes     processes
}

// largeBytes is the size of the response that slow readers request: more than fits into all buffers on its way.
const largeBytes = 16 << 20

// backend starts the backend of either server: it reads whatever arrives, and answers.
func backend(t testing.TB) string {
	t.Helper()
	return countingBackend(t, new(atomic.Int64))
}

// countingBackend is backend that counts the requests that reach it.
func countingBackend(t testing.TB, requests *atomic.Int64) string {
	t.Helper()
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		_, _ = io.Copy(io.Discard, r.Body) // its error does not matter: the client is an attacker
		if r.URL.Path == "/large" {
			_, _ = io.CopyN(w, zeros{}, largeBytes)
			return
		}
		_, _ = io.WriteString(w, "hello\n")
	}))
	t.Cleanup(b.Close)
	return b.Listener.Addr().String()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// start starts a server in front of a backend.
type start func(t testing.TB, backend string) *server

// all returns the servers that are compared.
func all() []start {
	return []start{startEngine(config.OwnEngine), startEngine(config.StdEngine), startNginx}
}

func startWeir(t testing.TB, backend string) *server {
	t.Helper()
	return startEngine(config.OwnEngine)(t, backend)
}

// startEngine returns a start of Weir with an engine. Requests to /guarded must show a token.
func startEngine(engine config.Engine) start {
	return func(t testing.TB, backend string) *server {
		t.Helper()
		folder := pair(t)
		write(t, folder, "keys.json", jwttest.All())
		write(t, folder, "weir.yaml", fmt.Appendf(nil, weirConfig, folder, backend, engine))
		gateway := weirtest.Start(t, filepath.Join(folder, "weir.yaml"), "--log", "error")
		return &server{"weir, " + string(engine), gateway.Sockets[0], gateway.Sockets[1], processes{gateway.Pid()}}
	}
}

const weirConfig = `
engine: %[3]s
listen:
  a: 127.0.0.1:0
  b: { address: "localhost:0", tls: { cert: '%[1]s/tls.crt', key: '%[1]s/tls.key' } }
auth:
  customer: { jwt: 'https://id.example.com/', audience: shop, jwks: '%[1]s/keys.json' }
routes:
  ANY /**: http://%[2]s
  ANY /guarded: { auth: customer, allow: "=auth.has('orders:write') && request.method == 'GET'", to: 'http://%[2]s' }
`

const nginxConfig = `
daemon off;
worker_processes 1;
pid nginx.pid;
error_log /dev/null crit;
events { worker_connections 8192; }
http {
	access_log off;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	server {
		listen %[1]s;
		listen %[2]s ssl http2;
		ssl_certificate tls.crt; ssl_certificate_key tls.key;
		location / { proxy_pass http://%[3]s; proxy_max_temp_file_size 0; } # else it would write gigabytes
	}
}
`

// startNginx runs Debian's nginx with its defaults. The sockets are opened here and inherited, as in an upgrade of
// nginx, so that no port has to be guessed.
func startNginx(t testing.TB, backend string) *server {
	t.Helper()
	binary, err := exec.LookPath("nginx")
	if err != nil {
		if binary, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			t.Skip("no nginx here; `make deps` installs one")
		}
	}
	folder := pair(t)
	plain, plainFile := inherited(t)
	secure, secureFile := inherited(t)
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // an unprivileged worker could not read the folder
	}
	write(t, folder, "nginx.conf", fmt.Appendf([]byte(user), nginxConfig, plain, secure, backend))
	var log await.Text
	command := exec.Command(binary, "-p", folder, "-c", "nginx.conf", "-e", "stderr")
	command.Stderr = &log
	command.ExtraFiles = []*os.File{plainFile, secureFile}
	command.Env = append(os.Environ(), "NGINX=3;4;")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM) // it may have ended already
		if err := command.Wait(); err != nil {
			t.Logf("nginx: %v\n%s", err, log.String())
		}
	})
	s := &server{name: "nginx", plain: plain, secure: secure}
	await.That(t, "nginx serves", func() bool {
		s.processes = append(processes{command.Process.Pid}, children(command.Process.Pid)...)
		res, err := http.Get("http://" + plain)
		if err != nil {
			return false
		}
		defer http.DefaultClient.CloseIdleConnections()
		return errors.Join(res.Body.Close()) == nil && len(s.processes) > 1
	})
	return s
}

func inherited(t testing.TB) (address string, file *os.File) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if file, err = l.(*net.TCPListener).File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() }) // the child has its own
	return l.Addr().String(), file
}

// children returns the processes whose parent is pid.
func children(pid int) (found processes) {
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", pid)) // it may have none yet
	for field := range strings.FieldsSeq(string(content)) {
		var child int
		if _, err := fmt.Sscan(field, &child); err == nil {
			found = append(found, child)
		}
	}
	return found
}

// pair makes a folder with a certificate and its key.
func pair(t testing.TB) (folder string) {
	t.Helper()
	folder = t.TempDir()
	securetest.Write(t, folder, "tls", securetest.NewAuthority(t, "attacked").Issue([]string{"localhost"}))
	return folder
}

func write(t testing.TB, folder, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// warm sends the server a first request.
func (s *server) warm(t testing.TB) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}, Timeout: await.Patience}
	defer client.CloseIdleConnections()
	for range 100 {
		res, err := client.Get("http://" + s.plain)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
	}
	c := dialHTTP2(t, s.secure)
	c.request(1)
	if _, err := c.buf.WriteTo(c.conn); err != nil {
		t.Fatal(err)
	}
	await.That(t, s.name+" answers over HTTP/2", func() bool { return c.answer.Load() > 0 })
	_ = c.conn.Close() // it has served its purpose
	<-c.ended
}
