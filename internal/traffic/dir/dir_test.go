package dir_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/traffic/dir"
)

// site makes a directory with files (a name that ends in a slash is a directory) and opens it. Next to the directory
// lies a file "secret.txt".
func site(t *testing.T, files map[string]string) (*dir.Dir, string) {
	t.Helper()
	base := t.TempDir()
	root := filepath.Join(base, "public")
	write(t, filepath.Join(base, "secret.txt"), "secret")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		write(t, filepath.Join(root, filepath.FromSlash(name)), content)
	}
	d, err := dir.New(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, root
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// get requests target; fields are "Name: value".
func get(t *testing.T, d *dir.Dir, method, target string, fields ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Set(name, value)
	}
	res, err := d.RoundTrip(r)
	if err != nil {
		f := fault.From(err)
		res := exchange.NewResponse(r, f.Status, f.Fields...)
		res.Status = f.Code
		return res, ""
	}
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("%s: %v", target, err)
	}
	if err := res.Body.Close(); err != nil {
		t.Errorf("%s: close: %v", target, err)
	}
	if method == http.MethodGet && res.ContentLength != int64(len(content)) {
		t.Errorf("%s: %d bytes, but the length is %d", target, len(content), res.ContentLength)
	}
	return res, string(content)
}

func TestWhatIsServed(t *testing.T) {
	d, _ := site(t, map[string]string{
		"index.html": "home", "a.txt": "text", "app.js": "js", "x.unknown-type": "?", "caf\u00e9 1.txt": "coffee",
		"docs/index.html": "docs", "docs/deep/b.css": "css", "empty.txt": "", "bare/c.txt": "c",
		".env": "hidden", ".git/config": "hidden", "docs/.htaccess": "hidden", ".well-known/security.txt": "well-known",
		"docs/.well-known/x": "hidden", "..data": "hidden",
	})
	for _, tt := range []struct {
		rule, target, content, mediaType string
	}{
		{"a file", "/a.txt", "text", "text/plain; charset=utf-8"},
		{"a script, whatever the machine thinks", "/app.js", "js", "text/javascript; charset=utf-8"},
		{"an unknown type is not guessed", "/x.unknown-type", "?", "application/octet-stream"},
		{"a deep file", "/docs/deep/b.css", "css", "text/css; charset=utf-8"},
		{"an encoded name", "/caf%C3%A9%201.txt", "coffee", "text/plain; charset=utf-8"},
		{"the root's index", "/", "home", "text/html; charset=utf-8"},
		{"a directory's index", "/docs/", "docs", "text/html; charset=utf-8"},
		{"an empty file", "/empty.txt", "", "text/plain; charset=utf-8"},
		{"well-known files", "/.well-known/security.txt", "well-known", "text/plain; charset=utf-8"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			res, content := get(t, d, "GET", tt.target)
			if res.StatusCode != 200 || content != tt.content || res.Header.Get("Content-Type") != tt.mediaType {
				t.Errorf("%d %q %q, want 200 %q %q", res.StatusCode, content, res.Header.Get("Content-Type"), tt.content, tt.mediaType)
			}
		})
	}
	for rule, targets := range map[string][]string{
		"what is not there":            {"/nobody", "/docs/nobody", "/a.txt/b", "/nobody/"},
		"a file with a slash":          {"/a.txt/"},
		"a directory without an index": {"/bare/"},
		"hidden files":                 {"/.env", "/.git/config", "/.git/", "/docs/.htaccess", "/docs/.well-known/x", "/..data"},
		"dots":                         {"/../secret.txt", "/docs/../../secret.txt", "/%2e%2e/secret.txt", "/docs/..", "/./a.txt"},
		"encoded separators and NUL":   {"/..%2fsecret.txt", "/..%5csecret.txt", "/docs%2f%2fdeep", "/a.txt%00", "/a.txt%00.png"},
	} {
		for _, target := range targets {
			if res, content := get(t, d, "GET", target); res.Status != fault.FileNotFound.Code {
				t.Errorf("%s: %s is answered with %s %q", rule, target, res.Status, content)
			}
		}
	}
}

func TestLinksLeadNowhereOutside(t *testing.T) {
	d, root := site(t, map[string]string{"a.txt": "text", "docs/b.txt": "b"})
	for name, target := range map[string]string{"inside.txt": "a.txt", "outside.txt": "../secret.txt", "up": "..", "loop": "loop", "absolute.txt": filepath.Join(root, "..", "secret.txt")} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Skip("no symbolic links here:", err)
		}
	}
	if res, content := get(t, d, "GET", "/inside.txt"); res.StatusCode != 200 || content != "text" {
		t.Errorf("a link inside: %d %q", res.StatusCode, content)
	}
	for _, target := range []string{"/outside.txt", "/up/secret.txt", "/loop", "/absolute.txt"} {
		if res, content := get(t, d, "GET", target); res.StatusCode != 404 {
			t.Errorf("%s: %d %q", target, res.StatusCode, content)
		}
	}
}

// Sites are published with a rename or by pointing a symbolic link elsewhere. Build tools remove their output folder
// and create it anew.
func TestAFolderThatWasReplacedIsServedFromThenOn(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a folder that is open cannot be replaced there")
	}
	d, root := site(t, map[string]string{"a.txt": "first"})
	renamed := filepath.Join(filepath.Dir(root), "old")
	steps := []struct {
		rule   string
		change func() error
		want   string
	}{
		{"as it was", func() error { return nil }, "first"},
		{"renamed", func() error { return os.Rename(root, renamed) }, ""},
		{"made anew", func() error { return os.Mkdir(root, 0o755) }, ""},
		{"with another file", func() error { return os.WriteFile(filepath.Join(root, "a.txt"), []byte("second"), 0o644) }, "second"},
		{"removed", func() error { return os.RemoveAll(root) }, ""},
		{"a link", func() error { return os.Symlink(renamed, root) }, "first"},
		{"a file", func() error { return errors.Join(os.Remove(root), os.WriteFile(root, nil, 0o644)) }, ""},
	}
	for _, step := range steps {
		if err := step.change(); err != nil {
			t.Fatal(step.rule, err)
		}
		res, content := get(t, d, "GET", "/a.txt")
		if want := map[bool]int{true: 200, false: 404}[step.want != ""]; res.StatusCode != want || content != step.want {
			t.Errorf("%s: %d %q, want %d %q", step.rule, res.StatusCode, content, want, step.want)
		}
	}
}

func TestAFolderIsReplacedUnderLoad(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a folder that is open cannot be replaced there")
	}
	d, root := site(t, nil)
	versions := [2]string{}
	for i := range versions {
		versions[i] = filepath.Join(filepath.Dir(root), strconv.Itoa(i))
		write(t, filepath.Join(versions[i], "a.txt"), "text")
	}
	publish := func(i int) {
		if err := errors.Join(os.Symlink(versions[i%2], root+".new"), os.Rename(root+".new", root)); err != nil {
			t.Error(err)
		}
	}
	if err := os.Remove(root); err != nil {
		t.Fatal(err)
	}
	publish(0)
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 200 {
				if res, content := get(t, d, "GET", "/a.txt"); res.StatusCode != 200 || content != "text" {
					t.Errorf("%d %q", res.StatusCode, content)
				}
			}
		})
	}
	for i := range 100 {
		publish(i)
	}
	clients.Wait()
}

func TestOnlyGetAndHead(t *testing.T) {
	d, _ := site(t, map[string]string{"a.txt": "text"})
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		if res, _ := get(t, d, method, "/a.txt"); res.StatusCode != 405 || res.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q", method, res.StatusCode, res.Header.Get("Allow"))
		}
	}
	res, content := get(t, d, "HEAD", "/a.txt")
	if res.StatusCode != 200 || content != "" || res.ContentLength != 4 || res.Header.Get("Content-Length") != "4" {
		t.Errorf("HEAD: %d %q, length %d", res.StatusCode, content, res.ContentLength)
	}
}

func TestTheRequestBodyIsClosedInEveryCase(t *testing.T) {
	d, _ := site(t, map[string]string{"a.txt": "text"})
	for _, target := range []string{"GET /a.txt", "GET /nobody", "POST /a.txt", "GET /.env"} {
		method, path, _ := strings.Cut(target, " ")
		closed := closing(false)
		r := httptest.NewRequest(method, path, &closed)
		if res, err := d.RoundTrip(r); err == nil {
			_ = res.Body.Close()
		}
		if !bool(closed) {
			t.Errorf("%s leaves the body open", target)
		}
	}
}

type closing bool

func (*closing) Read([]byte) (int, error) { return 0, io.EOF }
func (c *closing) Close() error           { *c = true; return nil }

func TestConditionalRequestsAndRanges(t *testing.T) {
	d, root := site(t, map[string]string{"a.txt": "0123456789"})
	changed := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(root, "a.txt"), changed, changed); err != nil {
		t.Fatal(err)
	}
	first, _ := get(t, d, "GET", "/a.txt")
	tag, modified := first.Header.Get("Etag"), first.Header.Get("Last-Modified")
	if !strings.HasPrefix(tag, `"`) || modified != "Fri, 02 Jan 2026 03:04:05 GMT" || first.Header.Get("Accept-Ranges") != "bytes" {
		t.Fatalf("validators: %q, %q", tag, modified)
	}
	for _, tt := range []struct {
		rule    string
		fields  []string
		status  int
		content string
		ranged  string
	}{
		{"the same tag", []string{"If-None-Match: " + tag}, 304, "", ""},
		{"one tag of several", []string{`If-None-Match: "x", ` + tag}, 304, "", ""},
		{"another tag", []string{`If-None-Match: "x"`}, 200, "0123456789", ""},
		{"not modified since", []string{"If-Modified-Since: " + modified}, 304, "", ""},
		{"modified since", []string{"If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT"}, 200, "0123456789", ""},
		{"a failed precondition", []string{`If-Match: "x"`}, 412, "", ""},
		{"a range", []string{"Range: bytes=2-4"}, 206, "234", "bytes 2-4/10"},
		{"a range from the end", []string{"Range: bytes=-3"}, 206, "789", "bytes 7-9/10"},
		{"a range that is still valid", []string{"Range: bytes=0-0", "If-Range: " + tag}, 206, "0", "bytes 0-0/10"},
		{"a range of what has changed", []string{"Range: bytes=0-0", `If-Range: "x"`}, 200, "0123456789", ""},
		{"a range beyond the end", []string{"Range: bytes=20-"}, 416, "", "bytes */10"},
		{"several ranges are the whole file", []string{"Range: bytes=0-1,4-5"}, 200, "0123456789", ""},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			res, content := get(t, d, "GET", "/a.txt", tt.fields...)
			if res.StatusCode != tt.status || content != tt.content || res.Header.Get("Content-Range") != tt.ranged {
				t.Errorf("%d %q %q, want %d %q %q", res.StatusCode, content, res.Header.Get("Content-Range"), tt.status, tt.content, tt.ranged)
			}
		})
	}
	write(t, filepath.Join(root, "a.txt"), "9876543210")
	if again, _ := get(t, d, "GET", "/a.txt"); again.Header.Get("Etag") == tag {
		t.Error("a changed file of the same length keeps its tag")
	}
}

// An engine may keep heads as lines, but http.ServeContent reads the header map.
func TestConditionsInLinesCount(t *testing.T) {
	d, _ := site(t, map[string]string{"a.txt": "0123456789"})
	r := httptest.NewRequest("GET", "/a.txt", nil)
	r.Header = exchange.Ordered("range", "bytes=2-4")
	res, err := d.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if content, err := io.ReadAll(res.Body); res.StatusCode != 206 || string(content) != "234" || err != nil {
		t.Errorf("%d %q, %v", res.StatusCode, content, err)
	}
}

func TestADirectoryWithoutSlashIsRedirectedOnTheClientsOwnPath(t *testing.T) {
	d, _ := site(t, map[string]string{"index.html": "home", "docs/index.html": "docs"})
	for _, tt := range []struct {
		rule     string
		exchange *exchange.Exchange
		path     string // after the rewrite
		location string // "": the file is served
	}{
		{"no exchange", nil, "/docs", "/docs/"},
		{"two slashes lead to no other host", nil, "//docs", "/docs/"},
		{"the same path, with a query", &exchange.Exchange{Path: "/docs", Query: "a=1"}, "/docs", "/docs/?a=1"},
		{"a stripped prefix", &exchange.Exchange{Path: "/site/docs"}, "/docs", "/site/docs/"},
		{"the client's path has its slash", &exchange.Exchange{Path: "/docs/"}, "/docs", ""},
		{"a rewrite to a directory", &exchange.Exchange{Path: "/about"}, "/docs/", ""},
		{"the root of a stripped prefix", prefixed("/site"), "/", "/site/"},
		{"and with its slash", prefixed("/site/"), "/", ""},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			r := httptest.NewRequest("GET", "http://shop.dev/", nil)
			r.URL.Path = tt.path
			if tt.exchange != nil {
				r = exchange.With(r, tt.exchange)
			}
			res, err := d.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			if want := map[bool]int{true: 200, false: 301}[tt.location == ""]; res.StatusCode != want || res.Header.Get("Location") != tt.location {
				t.Errorf("%d %q, want %d %q", res.StatusCode, res.Header.Get("Location"), want, tt.location)
			}
		})
	}
}

func prefixed(path string) *exchange.Exchange {
	x := &exchange.Exchange{Path: path}
	x.Params.Add("**", "")
	return x
}

func TestAFileIsStreamed(t *testing.T) {
	d, root := site(t, nil)
	name := filepath.Join(root, "large.bin")
	write(t, name, "begin")
	const size = 1 << 40 // sparse; too large for memory
	if err := os.Truncate(name, size); err != nil {
		t.Skip("no sparse files here:", err)
	}
	res, err := d.RoundTrip(httptest.NewRequest("GET", "/large.bin", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	begin := make([]byte, 5)
	if _, err := io.ReadFull(res.Body, begin); err != nil || string(begin) != "begin" || res.ContentLength != size {
		t.Errorf("%q, length %d, %v", begin, res.ContentLength, err)
	}
}

func TestAFileThatShrinksMeanwhileIsAnError(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open file cannot be cut there")
	}
	for name, read := range map[string]func(*http.Response) error{
		"by Read":    func(res *http.Response) error { _, err := io.ReadAll(res.Body); return err },
		"by WriteTo": func(res *http.Response) error { _, err := io.Copy(io.Discard, res.Body); return err },
	} {
		t.Run(name, func(t *testing.T) {
			d, root := site(t, map[string]string{"a.txt": "0123456789"})
			res, err := d.RoundTrip(httptest.NewRequest("GET", "/a.txt", nil))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			if err := os.Truncate(filepath.Join(root, "a.txt"), 4); err != nil {
				t.Fatal(err)
			}
			if err := read(res); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("read: %v, want io.ErrUnexpectedEOF", err)
			}
		})
	}
}

func TestNewNeedsADirectory(t *testing.T) {
	_, root := site(t, map[string]string{"a.txt": ""})
	for _, name := range []string{"nobody", "a.txt"} {
		if _, err := dir.New(filepath.Join(root, name)); err == nil {
			t.Errorf("%s is taken for a directory", name)
		}
	}
}

// No path may reach the file next to the directory, nor a hidden file.
func FuzzRoundTrip(f *testing.F) {
	for _, seed := range []string{"/", "/a.txt", "/../secret.txt", "/docs/..", `/..\secret.txt`, "/a.txt\x00", "/.env", "/docs//b", "a.txt", "/CON", "/a.txt:x"} {
		f.Add(seed)
	}
	base := f.TempDir()
	for name, content := range map[string]string{"secret.txt": "secret", "public/a.txt": "text", "public/.env": "secret", "public/docs/.x": "secret"} {
		full := filepath.Join(base, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(content), 0o644)); err != nil {
			f.Fatal(err)
		}
	}
	d, err := dir.New(filepath.Join(base, "public"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = d.Close() })
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path = path
		res, err := d.RoundTrip(r)
		if err != nil {
			if fault.From(err).Code != fault.FileNotFound.Code {
				t.Fatalf("%q: %v", path, err)
			}
			return
		}
		defer func() { _ = res.Body.Close() }()
		if content, _ := io.ReadAll(res.Body); string(content) == "secret" {
			t.Fatalf("%q gives the secret", path)
		}
	})
}
