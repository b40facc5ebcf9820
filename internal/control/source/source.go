// Package source reads configs from where they come from. So far these are files, and the one-line proxy of the command
// line, whose config is generated.
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
	// Path is a file, a directory, or the URL that a plain proxy forwards to.
	Path string
	// Listen replaces the address of the first socket ("ADDRESS"), or of a named one ("NAME=ADDRESS").
	Listen []string
	// Admin replaces the address of the admin API; "off" switches it off.
	Admin string
	// Engine replaces the engine that speaks HTTP/1.x with clients and services, unless it is "".
	Engine config.Engine
	// Verbose tells clients what is wrong, as `problems: verbose` does.
	Verbose bool
	// Loopback restricts every address to this machine.
	Loopback bool
	// Runs returns why a file or folder cannot be run as a function, or nil if it can. If Runs is set, a folder needs
	// no config: its functions serve as one (see Find). If such a folder has a weir.yaml, only that file counts. Runs
	// may be nil.
	Runs func(path string) error
}

// Loaded is a config with everything that belongs to it.
type Loaded struct {
	Config   *config.Config // nil if it has errors
	Written  *config.Config // as Config, without the input's replacements
	Sources  []config.Source
	Digest   string // of the sources
	Problems []doc.Problem
	// Bad are the paths of the sources that take part in an error (config.Result).
	Bad map[string]bool
}

// InputError reports that the Input itself is wrong, not what it leads to.
type InputError struct{ text string }

func (e *InputError) Error() string { return e.text }

func wrong(format string, args ...any) error { return &InputError{fmt.Sprintf(format, args...)} }

// Load reads and validates the config. The error is about reading; what is wrong with the text that was read is in
// Problems.
func (in Input) Load(v config.Vocabulary) (Loaded, error) {
	sources, err := in.Read()
	if err != nil {
		return Loaded{}, err
	}
	return in.LoadSources(sources, v)
}

// LoadSources validates sources instead of what the input leads to. The error is about what the input replaces in them.
func (in Input) LoadSources(sources []config.Source, v config.Vocabulary) (Loaded, error) {
	result := config.Load(sources, v)
	out := Loaded{Config: result.Config, Written: result.Config, Sources: sources, Digest: Digest(sources), Problems: result.Problems, Bad: result.Bad}
	if out.Config == nil {
		return out, nil
	}
	return out.replaced(in, v)
}

// replaced applies the replacements. They must not break a rule that the config met before.
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
		return p.Severity != doc.Error // warnings were already reported
	})
	if len(broken) > 0 {
		l.Config = nil
		l.Problems = append(l.Problems, broken...)
	}
	return l, nil
}

// Lasting reports whether the input can be read again: it is a file or a folder, not a URL or a pipe.
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

// Read returns the sources of the input.
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
	if info, err := os.Stat(own); own != in.Path && err == nil && !info.Mode().IsRegular() { // one that the user named directly is meant
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

// meant returns what to write instead of a Path where nothing exists, or "" if it can only be the path of a file.
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

// addressed returns the URL that was probably meant if path lacks only the scheme: it is a port, or begins with
// HOST:PORT. It returns "" if path can only be a file.
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

// Proxy returns the config of a plain proxy for one URL. Every request goes there, and a path in the URL is put before
// the request's own path. The proxy serves this machine only, because its clients are told why a backend failed.
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

// Digest identifies a config by its sources. Equal texts under equal names have equal digests, whatever folder they are
// in and whatever path was named.
func Digest(sources []config.Source) string {
	h := sha256.New()
	for _, s := range sources {
		name := filepath.Base(s.Path)
		fmt.Fprintf(h, "%d:%s%d:%s", len(name), name, len(s.Data), s.Data)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// PathOf returns the path of the source with that name, as Read would return it.
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

// keepHere replaces addresses that other machines can reach by loopback addresses.
func (in Input) keepHere(c *config.Config) {
	for i := range c.Sockets {
		c.Sockets[i].Address = onLoopback(c.Sockets[i].Address)
	}
	c.Admin.Address = onLoopback(c.Admin.Address)
}

// onLoopback returns a loopback address with the port of address. It returns anything that is not an address with a
// port (a Unix socket, off) unchanged.
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

// socketOf returns the socket of a listener. A name that no listener has is taken as the name of a socket.
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
