package clients_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
)

// nginx is a Debian nginx in a folder of its own.
type nginx struct {
	address string
	folder  string
	process *os.Process
}

const nginxConfig = `
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 512; }
http {
	access_log off;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	client_max_body_size 0;
	types { text/plain txt; text/html html; application/octet-stream bin; }
	gzip_types text/plain;
	gzip_vary on;
	gzip_proxied any; # without it nginx compresses nothing for who sends Via
	server {
		listen %[1]s;
		root files;
		error_page 404 /missing.html;
		add_header X-Worker $pid always;
		add_header X-Requests $connection_requests always;
		%[2]s
		location /uploads/ { dav_methods PUT; create_full_put_path on; }
		location /gzip/ { alias files/; gzip on; gzip_min_length 0; }
		location /teapot { default_type text/plain; return 418 "short and stout\n"; }
		location /moved { return 301 /page.html; }
		location /nothing { return 204; }
	}
}
`

// startNginx runs nginx with further lines in its server block. The socket is opened here and inherited, as in an
// upgrade of nginx, so that no port has to be guessed.
func startNginx(t *testing.T, more string) *nginx {
	t.Helper()
	binary, err := exec.LookPath("nginx")
	if err != nil {
		if binary, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			t.Skip("no nginx here; `make deps` installs one")
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	n := &nginx{address: l.Addr().String(), folder: t.TempDir()}
	n.write(t, "nginx.conf", fmt.Appendf(user(), nginxConfig, n.address, more))
	n.write(t, "files/page.html", []byte("<p>a page</p>\n"))
	n.write(t, "files/missing.html", []byte("<p>nothing here</p>\n"))
	n.write(t, "files/long.txt", []byte(strings.Repeat("a line that compresses well\n", 20000)))

	var log await.Text
	command := exec.Command(binary, "-p", n.folder, "-c", "nginx.conf", "-e", "stderr")
	command.Stderr = &log
	command.ExtraFiles = []*os.File{socket}
	command.Env = append(os.Environ(), "NGINX=3;")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	n.process = command.Process
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() {
		_ = n.process.Signal(syscall.SIGTERM) // it may have ended already
		if err := await.From(t, "nginx's end", ended); err != nil || t.Failed() {
			t.Logf("nginx: %v\n%s", err, log.String())
		}
	})
	return n
}

// user is the config line that keeps the workers from running as nobody, who may not read the folder.
func user() []byte {
	if os.Getuid() == 0 {
		return []byte("user root;")
	}
	return nil
}

func (n *nginx) write(t *testing.T, name string, data []byte) {
	t.Helper()
	path := filepath.Join(n.folder, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o600), os.Chtimes(path, modified, modified)); err != nil {
		t.Fatal(err)
	}
}

// modified is when all of nginx's files were written.
var modified = time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC)

// behind runs a gateway in front of nginx and returns its URL.
func (n *nginx) behind(t *testing.T) string {
	t.Helper()
	return "http://" + startWeirWith(t, "limits: { body: 1GB }\n", "ANY /**: { to: http://"+n.address+" }").Address
}

// nginx's answers must be the same with the gateway in between.
func TestNginxAnswersAsIfItWereAlone(t *testing.T) {
	n := startNginx(t, "")
	url := n.behind(t)
	client := h1Client(t)
	for _, test := range []struct {
		name, method, path string
		status             int
		header             http.Header
	}{
		{"a file", "GET", "/page.html", 200, nil},
		{"its head", "HEAD", "/page.html", 200, nil},
		{"an error page", "GET", "/no/such/file", 404, nil},
		{"a method that is not allowed", "POST", "/page.html", 405, nil},
		{"a status of its own", "GET", "/teapot", 418, nil},
		{"a redirect", "GET", "/moved", 301, nil},
		{"no content", "GET", "/nothing", 204, nil},
		{"gzip, chunked", "GET", "/gzip/long.txt", 200, http.Header{"Accept-Encoding": {"gzip"}}},
		{"gzip unasked", "GET", "/gzip/long.txt", 200, nil},
		{"not modified since", "GET", "/page.html", 304, http.Header{"If-Modified-Since": {modified.Format(http.TimeFormat)}}},
		{"a precondition", "GET", "/page.html", 412, http.Header{"If-Match": {`"other"`}}},
		{"a range", "GET", "/long.txt", 206, http.Header{"Range": {"bytes=28-55"}}},
		{"several ranges", "GET", "/long.txt", 206, http.Header{"Range": {"bytes=0-3,28-31"}}},
		{"a range that is not there", "GET", "/long.txt", 416, http.Header{"Range": {"bytes=99999999-"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			direct, wantBody := ask(t, client, test.method, "http://"+n.address+test.path, test.header)
			through, body := ask(t, client, test.method, url+test.path, test.header)
			if direct.StatusCode != test.status || through.StatusCode != test.status {
				t.Fatalf("directly %s, through the gateway %s, want %d", direct.Status, through.Status, test.status)
			}
			const several = "multipart/byteranges; boundary=" // nginx chooses a new boundary each time
			if boundary, ok := strings.CutPrefix(direct.Header.Get("Content-Type"), several); ok {
				body = strings.ReplaceAll(body, strings.TrimPrefix(through.Header.Get("Content-Type"), several), boundary)
				through.Header.Set("Content-Type", several+boundary)
			}
			if body != wantBody || through.ContentLength != direct.ContentLength {
				t.Errorf("directly %d bytes (%d), through the gateway %d (%d)", len(wantBody), direct.ContentLength, len(body), through.ContentLength)
			}
			if got, want := ofItsOwn(through.Header), ofItsOwn(direct.Header); !maps.EqualFunc(got, want, equalValues) {
				t.Errorf("directly %v, through the gateway %v", want, got)
			}
		})
	}
}

// ask sends a request and does not follow redirects.
func ask(t *testing.T, client *http.Client, method, url string, header http.Header) (*http.Response, string) {
	t.Helper()
	request := newRequest(t, method, url, nil)
	maps.Copy(request.Header, header)
	res, err := client.Transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// ofItsOwn returns a header without what differs from response to response.
func ofItsOwn(header http.Header) http.Header {
	kept := maps.Clone(header)
	for _, name := range []string{"Date", "Connection", "X-Requests"} {
		kept.Del(name)
	}
	return kept
}

func equalValues(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }

func TestLargeBodiesPassWholeBothWays(t *testing.T) {
	n := startNginx(t, "")
	url := n.behind(t)
	for name, client := range map[string]*http.Client{"HTTP/1.1": h1Client(t), "HTTP/2": h2Client(t)} {
		for _, size := range []int{1 << 20, 100 << 20} {
			t.Run(fmt.Sprintf("%s/%d MiB", name, size>>20), func(t *testing.T) {
				data := make([]byte, size)
				_, _ = rand.Read(data) // it never fails
				for path, body := range map[string]io.Reader{
					"/uploads/known.bin":   bytes.NewReader(data),
					"/uploads/chunked.bin": io.MultiReader(bytes.NewReader(data)), // of unknown length
				} {
					if res, text := send(t, client, newRequest(t, http.MethodPut, url+path, body)); res.StatusCode/100 != 2 {
						t.Fatalf("PUT %s: %s %s", path, res.Status, text)
					}
					stored, err := os.ReadFile(filepath.Join(n.folder, "files", path))
					if err != nil || sha256.Sum256(stored) != sha256.Sum256(data) {
						t.Errorf("nginx got %d other bytes of %s (%v)", len(stored), path, err)
					}
					res, got := send(t, client, newRequest(t, http.MethodGet, url+path, nil))
					if res.ContentLength != int64(size) || sha256.Sum256([]byte(got)) != sha256.Sum256(data) {
						t.Errorf("the client got %d other bytes of %s", len(got), path)
					}
				}
			})
		}
	}
}

func TestConnectionsToNginxAreReused(t *testing.T) {
	n := startNginx(t, "")
	url := n.behind(t)
	client := h1Client(t)
	for i := 1; i <= 50; i++ {
		res, _ := send(t, client, newRequest(t, http.MethodGet, url+"/page.html", nil))
		if got, want := res.Header.Get("X-Requests"), fmt.Sprint(i); got != want {
			t.Fatalf("request %d is number %s on its connection", i, got)
		}
	}
}

// load requests url from several clients until stop is closed. It returns how many answers arrived and the first
// failure.
func load(t *testing.T, url string, stop <-chan struct{}) (served int64, first error) {
	t.Helper()
	var count atomic.Int64
	var failure atomic.Pointer[error]
	var all sync.WaitGroup
	for range 8 {
		client := h1Client(t)
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := wantPage(client, url); err != nil {
					failure.CompareAndSwap(nil, &err)
					return
				}
				count.Add(1)
			}
		})
	}
	all.Wait()
	if err := failure.Load(); err != nil {
		first = *err
	}
	return count.Load(), first
}

func wantPage(client *http.Client, url string) error {
	res, err := client.Get(url) //nolint:noctx // the client has a time-out
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || string(body) != "<p>a page</p>\n") {
		err = fmt.Errorf("%s: %s", res.Status, body)
	}
	return err
}

// A reload of nginx replaces its workers. The old ones close their idle connections, even if a request is on its way
// on them.
func TestNginxReloadLosesNoRequest(t *testing.T) {
	n := startNginx(t, "")
	url := n.behind(t) + "/page.html"
	client := h1Client(t)
	worker := func() string {
		res, _ := send(t, client, newRequest(t, http.MethodGet, "http://"+n.address+"/page.html", nil))
		return res.Header.Get("X-Worker")
	}
	stop, result := make(chan struct{}), make(chan string, 1)
	go func() {
		served, err := load(t, url, stop)
		result <- fmt.Sprintf("%d answers, then %v", served, err)
	}()
	for range 5 {
		before := worker()
		if err := n.process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		await.That(t, "a new worker", func() bool {
			client.CloseIdleConnections()
			return worker() != before
		})
	}
	close(stop)
	text := await.From(t, "the end of the load", result)
	t.Log(text)
	if !strings.HasSuffix(text, "then <nil>") {
		t.Error(text)
	}
}

// The keep-alive time is so short that nginx closes nearly every connection at about the time of the next request.
func TestIdleCloseOfNginxIsNoError(t *testing.T) {
	url := startNginx(t, "keepalive_timeout 1ms;").behind(t) + "/page.html"
	stop := make(chan struct{})
	var served atomic.Int64
	client := h1Client(t)
	go func() {
		defer close(stop)
		for range 500 {
			if err := wantPage(client, url); err != nil {
				t.Error(err)
				return
			}
			served.Add(1)
		}
	}()
	others, err := load(t, url, stop)
	if err != nil {
		t.Errorf("after %d answers: %v", others, err)
	}
	t.Logf("%d answers", others+served.Load())
}
