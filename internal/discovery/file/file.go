// Package file is the provider of endpoints that stand in a file (`file:/etc/weir/users.yaml`),
// which some other program writes: a list of addresses, or targets as Prometheus' file_sd
// has them. A change of the file is a change of the endpoints.
//
//   - file.go: how files are named, and one file, from its word to its set.
//   - form.go: what stands in a file.
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

// scheme begins a reference to a file.
const scheme = "file"

// Definition is the provider as the compiler and the vocabulary know it. Its providers share
// one watch of the system's, of which there are few.
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

// split takes a reference apart: the path of a file, and the name of the part of it that is
// meant, "" for all. A path that goes down and up again is refused, for what a group may
// use is told by how references begin.
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

// again is how often a file is read though nothing was told of it: who keeps the last set
// over a restart wants to hear from time to time that it is still so.
const again = 10 * time.Minute

// Run reads the file whenever it has changed and come to rest.
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

// largest bounds a file: two hundred bytes for each of 40,000 endpoints.
const largest = 8 << 20

// read reads the file as it is now. A pipe or a device is none: it may keep its reader for good.
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
