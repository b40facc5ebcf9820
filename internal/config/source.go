package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Source is one file of a config, or a body sent to the admin API.
type Source struct {
	Path string // as positions name it
	Data []byte
}

// Read reads a config file, or every *.yaml and *.yml of a directory in the
// order of their names. Subdirectories and hidden files are passed over; the
// links of a mounted ConfigMap (names that point through ..data) are followed.
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
		if !isConfigName(entry.Name()) || isDir(name) {
			continue
		}
		source, err := readFile(name)
		if err != nil {
			return nil, err
		}
		sources = append(sources, source)
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("read config: the directory %s holds no file whose name ends in .yaml or .yml; subdirectories are not looked into", path)
	}
	return sources, nil
}

func isConfigName(name string) bool {
	return !strings.HasPrefix(name, ".") && slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(name))
}

// isDir follows links. What cannot be looked at is left for readFile to complain of.
func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// maxSource bounds one file; doc has its own limits on what is in it.
const maxSource = 16 << 20

var errTooLarge = errors.New("the file is larger than 16 MiB")

func readFile(name string) (Source, error) {
	f, err := os.Open(name)
	if err != nil {
		return Source{}, fmt.Errorf("read config: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSource+1)) // what says that it is small, a device, may never end
	if err == nil && len(data) > maxSource {
		err = fmt.Errorf("%s: %w", name, errTooLarge)
	}
	if err != nil {
		return Source{}, fmt.Errorf("read config: %w", err)
	}
	return Source{Path: name, Data: data}, nil
}
