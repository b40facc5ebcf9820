// Package file is the provider of endpoints in a file (`file:/etc/weir/users.yaml`) that another program writes: a list
// of addresses, or targets in the format of Prometheus' file_sd. A change of the file changes the endpoints.
//
//   - file.go: how files are named, and one file, from its change to its set.
//   - form.go: the format of a file.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/edits"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

// scheme is the scheme of a reference to a file.
const scheme = "file"

// Definition is the provider as the compiler and the vocabulary know it. Its providers share one watch of the system,
// because the system has few.
func Definition() discovery.Definition {
	return define(edits.Options{What: "endpoints", Log: slog.Default()})
}

func define(o edits.Options) discovery.Definition {
	files := edits.New(o)
	return discovery.Definition{
		Schemes: []discovery.Scheme{{Protocol: "http", Scheme: config.Scheme{
			Name: scheme, Summary: "HTTP/1.1 to the endpoints that a file lists", Example: "file:/etc/weir/users.yaml",
			Check: func(ref config.Ref) error {
				_, _, err := split(ref.Rest)
				return err
			},
		}}},
		New: func(env discovery.Env, service config.Service) (discovery.Provider, error) {
			name, part, err := split(service.Source.Rest)
			if err != nil {
				return nil, err
			}
			if !filepath.IsAbs(name) {
				name = filepath.Join(filepath.Dir(service.Source.Origin.File), name)
			}
			return &provider{files: files, env: env, path: name, part: part}, nil
		},
	}
}

// split splits a reference into the path of a file and the name of the wanted part of it, "" for all. A path with `..`
// in the middle is refused, because the grants of a group match the beginning of references.
func split(rest string) (name, part string, err error) {
	name, part, hasPart := strings.Cut(rest, "#")
	plain := strings.TrimPrefix(filepath.ToSlash(name), "./")
	switch {
	case strings.HasPrefix(rest, "//"):
		return "", "", fmt.Errorf("no slashes but those of the path stand after the scheme; write file:/%s", strings.TrimLeft(rest, "/"))
	case name == "" || strings.HasSuffix(name, "/"):
		return "", "", errors.New("the path of a file is missing")
	case path.Clean(plain) != plain:
		return "", "", fmt.Errorf("the path is written in a roundabout way; write file:%s", path.Clean(plain))
	case hasPart && part == "":
		return "", "", errors.New("the name after # is missing; leave # out where the whole file is meant")
	}
	return name, part, nil
}

// provider finds the endpoints of one file, or of one part of it.
type provider struct {
	files *edits.Watcher
	env   discovery.Env
	path  string
	part  string // "": the whole file
}

// again is how often a file is read even without a change: the keeper of the last set over a restart needs a
// confirmation from time to time.
const again = 10 * time.Minute

// Run reads the file whenever it has changed and settled.
func (p *provider) Run(ctx context.Context, set func([]discovery.Endpoint)) error {
	watch := p.files.Watch(func() ([]string, string) { return []string{p.path}, edits.State([]string{p.path}) })
	defer watch.Close()
	ticker := time.NewTicker(again)
	defer ticker.Stop()
	for {
		list, err := p.read()
		if err == nil {
			set(list)
		}
		if p.env.Looked != nil {
			p.env.Looked(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-watch.Changed():
		case <-ticker.C:
		}
	}
}

// largest limits the size of a file: two hundred bytes for each of 40,000 endpoints.
const largest = 8 << 20

// read reads the file as it is now. Pipes and devices are refused, because reading them may block for ever.
func (p *provider) read() ([]discovery.Endpoint, error) {
	if _, err := os.Stat(p.path); err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	if !edits.IsRegular(p.path) {
		return nil, fmt.Errorf("%s is no regular file", p.path)
	}
	f, err := os.Open(p.path)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, largest+1))
	switch {
	case err != nil:
		return nil, err //nolint:wrapcheck // it names the file
	case len(data) > largest:
		return nil, fmt.Errorf("%s has more than %d bytes", p.path, largest)
	}
	return parse(p.path, p.part, data)
}
