// Package dir is the backend `dir:`, static files of one directory, as an http.RoundTripper.
//
// It serves only what lies in the directory: names go through os.Root, so that neither dots nor symbolic links lead out
// of it. Names that begin with a dot do not exist for it, except /.well-known (RFC 8615). For a directory it serves its
// index.html or nothing; there are no listings. Conditional requests and single ranges are answered as RFC 9110 says. A
// file is streamed, never held in memory. It serves the directory that is at the path when a request comes, not the one
// that was there at the start.
package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

const (
	index     = "index.html"
	wellKnown = ".well-known"
	restParam = "**" // name under which package route captures the path below a prefix
)

// Dir serves one directory. It is safe for concurrent use.
type Dir struct {
	path string

	mu     sync.RWMutex // held for reading while root is used
	root   *os.Root
	info   fs.FileInfo // of the directory that root is
	closed bool
}

// New opens the directory to serve. The caller must Close it when no more requests can come; responses under way keep
// their files.
func New(root string) (*Dir, error) {
	d := &Dir{path: root}
	switch err := d.open(); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no folder %s; make it, or correct the path, which is relative to the config", root)
	case err != nil:
		return nil, fmt.Errorf("the folder %s cannot be served: %w", root, reason(err))
	}
	return d, nil
}

func (d *Dir) open() error {
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return err //nolint:wrapcheck // the callers say what it was for
	}
	info, err := root.Stat(".")
	if err != nil {
		return errors.Join(err, root.Close())
	}
	d.root, d.info = root, info
	return nil
}

// follow opens the directory again if another one is at its path now. A site may be published by a rename or by
// changing a link, and tools may remove their output and write it anew. As long as the previous directory is open, no
// other one can be mistaken for it.
func (d *Dir) follow() error {
	now, err := os.Stat(d.path)
	if err != nil {
		return err //nolint:wrapcheck // RoundTrip makes it a fault
	}
	if d.is(now) {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || os.SameFile(d.info, now) {
		return nil
	}
	before := d.root
	if err := d.open(); err != nil {
		return err
	}
	_ = before.Close() // it was only read
	return nil
}

func (d *Dir) is(now fs.FileInfo) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return os.SameFile(d.info, now)
}

// Close closes the directory.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if err := d.root.Close(); err != nil {
		return fmt.Errorf("close the served directory: %w", err)
	}
	return nil
}

// RoundTrip answers with the file that r.URL.Path names below the directory.
// Its errors are faults: FileNotFound, MethodNotAllowed for all but GET and
// HEAD, Unexpected where the system fails. The caller closes the response's body.
func (d *Dir) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close() // nothing of it was read, so nothing is lost
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil, fault.MethodNotAllowed.New("Files can only be read.", fault.WithField("Allow", "GET, HEAD"))
	}
	name, ok := localName(r.URL.Path)
	if !ok {
		return nil, fault.FileNotFound.New("")
	}
	if err := d.follow(); err != nil {
		return nil, problem(d.path, err)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	info, err := d.root.Stat(name)
	switch {
	case err != nil:
		return nil, problem(name, err)
	case info.IsDir():
		if location := slashed(r); location != "" {
			return redirect(r, location), nil
		}
		name = filepath.Join(name, index)
	case strings.HasSuffix(r.URL.Path, "/"):
		return nil, fault.FileNotFound.New("")
	}
	return d.file(r, name)
}

// file answers with the regular file of that name. The lock is held.
func (d *Dir) file(r *http.Request, name string) (*http.Response, error) {
	info, err := d.root.Stat(name) // before the open, which would block forever on a pipe
	if err != nil {
		return nil, problem(name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fault.FileNotFound.New("", fault.Internal("%s is no regular file", name))
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, problem(name, err)
	}
	if info, err = f.Stat(); err != nil {
		return nil, errors.Join(problem(name, err), f.Close())
	}
	return serve(r, f, info), nil
}

// problem tells a missing file from a failing system. Any error that may be about the name, above all a link that leads
// out of the directory, counts as a missing file.
func problem(name string, err error) *fault.Fault {
	for _, failure := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO, fs.ErrClosed} {
		if errors.Is(err, failure) {
			return fault.Unexpected.New("", fault.Internal("%s", name), fault.Cause(reason(err)))
		}
	}
	return fault.FileNotFound.New("", fault.Internal("%s", name), fault.Cause(reason(err)))
}

// reason returns err without the name of the system call, which tells a reader nothing more.
func reason(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}

// localName turns the path of a URL into a name below the root in the system's own form, "." for the root itself; ok is
// false for names that are not served.
func localName(urlPath string) (name string, ok bool) {
	trimmed := strings.Trim(urlPath, "/")
	if trimmed == "" {
		return ".", true
	}
	for i, part := range strings.Split(trimmed, "/") {
		if !served(part) && (i > 0 || part != wellKnown) {
			return "", false
		}
	}
	name, err := filepath.Localize(trimmed) // refuses NUL and, on Windows, \ : and the names of devices
	return name, err == nil
}

// served reports whether a name is neither hidden nor, on Windows, a possible other spelling of a hidden name: a short
// name, or a name whose end is ignored.
func served(part string) bool {
	if part == "" || part[0] == '.' {
		return false
	}
	if runtime.GOOS != "windows" {
		return true
	}
	return !strings.HasSuffix(part, ".") && !strings.HasSuffix(part, " ") && !strings.Contains(part, "~")
}

// slashed returns the path to which a client that asked for a directory is redirected, so that relative links in its
// index work; "" if no redirect is needed. It is the client's own path, not the result of a rewrite.
func slashed(r *http.Request) string {
	current, query := r.URL.EscapedPath(), r.URL.RawQuery
	below := !strings.HasSuffix(r.URL.Path, "/")
	if x := exchange.From(r.Context()); x != nil {
		// A rewrite to "/" says nothing about the client's path. But a route for everything under a prefix also serves
		// the path with a slash.
		_, prefixed := x.Params.Get(restParam)
		current, query, below = x.Path, x.Query, below || prefixed
	}
	if !below || strings.HasSuffix(current, "/") {
		return ""
	}
	normal, err := httpx.NormalizePath(current) // "//evil" would lead to another host
	if err != nil || strings.HasSuffix(normal.Text, "/") {
		return ""
	}
	location := normal.Text + "/"
	if query != "" {
		location += "?" + query
	}
	return location
}

func redirect(r *http.Request, location string) *http.Response {
	return exchange.NewResponse(r, http.StatusMovedPermanently, exchange.Field{Name: "Location", Value: location})
}
