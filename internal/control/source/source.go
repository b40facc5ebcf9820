// Package source is where configs come from. So far these are files, and the
// one-line proxy of the command line, which is a file that nobody had to write.
package source

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/loopback"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Input is what the user named: where the config is, and what replaces parts of it.
type Input struct {
	// Path is a file, a directory, or a URL to be a plain proxy for.
	Path string
	// Listen replaces the address of the first socket ("ADDRESS"), or of the
	// named ones ("NAME=ADDRESS").
	Listen []string
	// Admin replaces the address of the admin API; "off" switches it off.
	Admin string
	// Engine replaces what speaks HTTP/1.x with clients and services, where it is not "".
	Engine config.Engine
	// Verbose has clients told what is wrong, as `problems: verbose` does.
	Verbose bool
	// Loopback keeps every address to this machine.
	Loopback bool
	// Runs tells why a file or folder cannot be run as a function, nil where it can.
	// With it, a folder needs no config: its functions are one (see Find), and of a
	// folder with a weir.yaml that alone counts. It may be nil.
	Runs func(path string) error
}

// Loaded is a config with what belongs to it.
type Loaded struct {
	Config   *config.Config // nil where it has errors
	Written  *config.Config // as Config, without the input's replacements
	Sources  []config.Source
	Digest   string // of the sources
	Problems []doc.Problem
	// Bad are the paths of the sources that have a part in an error (config.Result).
	Bad map[string]bool
}

// InputError says that the Input itself is wrong, not what it leads to.
type InputError struct{ text string }

func (e *InputError) Error() string { return e.text }

func wrong(format string, args ...any) error { return &InputError{fmt.Sprintf(format, args...)} }

// Load reads and validates. The error is about reading; what is wrong with what
// was read are Problems.
func (in Input) Load(v config.Vocabulary) (Loaded, error) {
	sources, err := in.Read()
	if err != nil {
		return Loaded{}, err
	}
	return in.LoadSources(sources, v)
}

// LoadSources validates sources in place of what the input leads to. The error is
// about what the input replaces in them.
func (in Input) LoadSources(sources []config.Source, v config.Vocabulary) (Loaded, error) {
	result := config.Load(sources, v)
	out := Loaded{Config: result.Config, Written: result.Config, Sources: sources, Digest: Digest(sources), Problems: result.Problems, Bad: result.Bad}
	if out.Config == nil {
		return out, nil
	}
	return out.replaced(in, v)
}

// replaced applies the replacements, which may not break a rule that the config kept.
func (l Loaded) replaced(in Input, v config.Vocabulary) (Loaded, error) {
	if in.Admin == "" && in.Engine == "" && len(in.Listen) == 0 && !in.Loopback && !in.Verbose {
		return l, nil
	}
	replaced := *l.Config
	replaced.Sockets = slices.Clone(l.Config.Sockets)
	l.Config = &replaced
	if err := in.replace(l.Config); err != nil {
		return l, err
	}
	broken := slices.DeleteFunc(config.Validate(l.Config, v), func(p doc.Problem) bool {
		return p.Severity != doc.Error // warnings were told already
	})
	if len(broken) > 0 {
		l.Config = nil
		l.Problems = append(l.Problems, broken...)
	}
	return l, nil
}

// Lasting tells whether the input can be read again: it is a file or a folder, no
// URL and no pipe.
func (in Input) Lasting() bool {
	if in.isURL() {
		return false
	}
	info, err := os.Stat(in.Path)
	return err == nil && (info.Mode().IsRegular() || info.IsDir())
}

func (in Input) isURL() bool {
	scheme, _, ok := strings.Cut(in.Path, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// Read gives the sources of the input.
func (in Input) Read() ([]config.Source, error) {
	if in.isURL() {
		text, err := Proxy(in.Path)
		if err != nil {
			return nil, err
		}
		return []config.Source{{Path: "(command line)", Data: []byte(text)}}, nil
	}
	own := in.own()
	if own == "" {
		return in.found()
	}
	if info, err := os.Stat(own); own != in.Path && err == nil && !info.Mode().IsRegular() { // one that is named itself is meant
		return nil, wrong("%s is a pipe, a socket or a device, and to read it may take for ever; remove it, or name it where it is meant", own)
	}
	sources, err := config.Read(own)
	if errors.Is(err, fs.ErrNotExist) {
		if meant := in.meant(); meant != "" {
			return nil, wrong("there is no file or folder %s; %s", in.Path, meant)
		}
	}
	return sources, err //nolint:wrapcheck // says what could not be read
}

// meant says what to write instead of a Path that nothing is at, "" where it can only be
// that of a file.
func (in Input) meant() string {
	if in.Path == "-" {
		return "to read a config from standard input, name /dev/stdin"
	}
	if scheme, _, ok := strings.Cut(in.Path, "://"); ok {
		return "a URL to be a proxy for begins with http:// or https://, not " + scheme + "://"
	}
	if url := addressed(in.Path); url != "" {
		return "to be a proxy for it, write it as a URL: " + url
	}
	return ""
}

// addressed is the URL that path lacks the scheme of: it is a port, or begins
// with HOST:PORT. It is "" for what can only be a file.
func addressed(path string) string {
	if _, err := strconv.ParseUint(path, 10, 16); err == nil {
		return "http://localhost:" + path
	}
	authority, _, _ := strings.Cut(path, "/")
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		return ""
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return ""
	}
	if host == "" {
		return "http://localhost" + path
	}
	return "http://" + path
}

// Proxy is the config of a plain proxy for one URL: every request goes there, and a
// path in the URL is put before the request's own. It serves this machine only,
// because its clients are told why a backend failed.
func Proxy(target string) (string, error) {
	u, err := url.Parse(target)
	switch {
	case err != nil || u.Host == "":
		return "", wrong("%q is no URL to proxy to: write it as http://localhost:9000", target)
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return "", wrong("%q: a URL to proxy to has no user, query or fragment", u.Redacted())
	}
	to := u.Scheme + "://" + u.Host
	if base := strings.TrimRight(u.EscapedPath(), "/"); base != "" {
		to += base + "/**"
	}
	return "listen: 127.0.0.1:8080\nproblems: verbose\nroutes:\n  ANY /**:\n    to: " + to + "\n", nil
}

// Digest names a config by its sources: equal texts under equal names have equal
// digests, in whatever folder they stand and by whatever path it was named.
func Digest(sources []config.Source) string {
	h := sha256.New()
	for _, s := range sources {
		name := filepath.Base(s.Path)
		fmt.Fprintf(h, "%d:%s%d:%s", len(name), name, len(s.Data), s.Data)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// PathOf is the path of a source of that name, as Read would give it.
func (in Input) PathOf(name string) string {
	switch info, err := os.Stat(in.Path); {
	case err == nil && info.IsDir():
		return filepath.Join(in.Path, name)
	case name == filepath.Base(in.Path):
		return in.Path
	default:
		return filepath.Join(filepath.Dir(in.Path), name)
	}
}

// replace applies Listen, Admin and Engine.
func (in Input) replace(c *config.Config) error {
	if in.Admin != "" {
		c.Admin.Address, c.Admin.Origin = in.Admin, config.Origin{Pos: doc.Pos{File: "--admin"}}
	}
	switch in.Engine {
	case "":
	case config.StdEngine, config.OwnEngine:
		c.Engine = in.Engine
	default:
		return wrong("--engine %s: write std or own", in.Engine)
	}
	for _, replacement := range in.Listen {
		name, address, named := strings.Cut(replacement, "=")
		if !named {
			if len(c.Sockets) == 0 {
				return wrong("--listen %s: the configuration listens nowhere", replacement)
			}
			name, address = c.Sockets[0].Name, replacement
		}
		i := slices.IndexFunc(c.Sockets, func(s config.Socket) bool { return s.Name == socketOf(c, name) })
		if i < 0 {
			return wrong("--listen %s: there is no listener %q; there are: %s", replacement, name, strings.Join(names(c), ", "))
		}
		c.Sockets[i].Address = address
		c.Sockets[i].Origin = config.Origin{Pos: doc.Pos{File: "--listen"}}
	}
	if in.Loopback {
		in.keepHere(c)
	}
	if in.Verbose {
		c.Problems = config.VerboseProblems
	}
	return nil
}

// keepHere makes addresses that others can reach loopback ones.
func (in Input) keepHere(c *config.Config) {
	for i := range c.Sockets {
		c.Sockets[i].Address = onLoopback(c.Sockets[i].Address)
	}
	c.Admin.Address = onLoopback(c.Admin.Address)
}

// onLoopback is an address of this machine with the port of address. What is no
// address with a port (a Unix socket, off) stays.
func onLoopback(address string) string {
	host, port, err := net.SplitHostPort(address)
	if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
		return address
	}
	if loopback.Name(host) {
		return address
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// socketOf gives the socket of a listener; a name that is none is taken for the
// socket's own.
func socketOf(c *config.Config, name string) string {
	for _, l := range c.Listeners {
		if l.Name == name {
			return l.Socket
		}
	}
	return name
}

func names(c *config.Config) []string {
	var list []string
	for _, l := range c.Listeners {
		list = append(list, l.Name)
	}
	return list
}
