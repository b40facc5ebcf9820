package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// Source is one file of a config, or a body sent to the admin API.
type Source struct {
	Path string // the name used in positions
	Data []byte
	// Unread is why a file of a folder could not be read. Load reports it as a mistake of this file, so that it affects
	// no other.
	Unread error
}

// Read reads a config file, or every *.yaml and *.yml of a directory in the order of their names. It skips
// subdirectories and hidden files, and follows the links of a mounted ConfigMap (names that point through ..data). The
// error is about the file, or the directory as a whole.
func Read(path string) ([]Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	if !info.IsDir() {
		source, err := readFile(path)
		if err != nil {
			return nil, err
		}
		return []Source{source}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	var sources []Source
	for _, entry := range entries { // sorted by name
		name := filepath.Join(path, entry.Name())
		if !IsName(entry.Name()) || isDir(name) {
			continue
		}
		source, err := readRegular(name)
		if err != nil {
			source = Source{Path: name, Unread: err}
		}
		sources = append(sources, source)
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("read config: the directory %s holds no file whose name ends in .yaml or .yml; subdirectories are not looked into", path)
	}
	return sources, nil
}

// IsName reports whether a file of a directory is read, by its name.
func IsName(name string) bool {
	return !strings.HasPrefix(name, ".") && slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(name))
}

// isDir follows links. If stat fails, readFile reports the problem.
func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// maxSource bounds one file; doc has its own limits on its content.
const maxSource = 16 << 20

// errNoFile is for files in a folder. A pipe that is named as the config is read.
var errNoFile = errors.New("it is a pipe, a socket or a device, and reading it may never end")

// readRegular checks the file before it opens it, because opening a pipe waits for its other end.
func readRegular(name string) (Source, error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return Source{}, errNoFile
	}
	return readFile(name)
}

var errTooLarge = errors.New("the file is larger than 16 MiB")

func readFile(name string) (Source, error) {
	f, err := os.Open(name)
	if err != nil {
		return Source{}, fmt.Errorf("read config: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSource+1)) // a device that claims to be small may never end
	if err == nil && len(data) > maxSource {
		err = fmt.Errorf("%s: %w", name, errTooLarge)
	}
	if err != nil {
		return Source{}, fmt.Errorf("read config: %w", err)
	}
	return Source{Path: name, Data: data}, nil
}

// problem is why there is nothing to parse; nil: there is something.
func (s Source) problem() *doc.Problem {
	switch {
	case s.Unread != nil:
		why := s.Unread.Error()
		if path, ok := errors.AsType[*fs.PathError](s.Unread); ok {
			why = path.Err.Error() // the message already begins with its name
		}
		return &doc.Problem{Pos: doc.Pos{File: s.Path}, What: "the file cannot be read", Why: why}
	case len(s.Data) == 0:
		return &doc.Problem{
			Pos: doc.Pos{File: s.Path}, What: "the file is empty", Why: "it may be about to be written, and until then nothing would be served",
			Fix: "remove it, or write a comment into it if it is meant to be empty",
		}
	}
	return nil
}
