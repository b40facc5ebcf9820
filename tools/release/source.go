package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// source is a clone of the repository: what is committed, without any other files in the working folder.
type source struct {
	folder  string
	version string // the tag, or the previous tag with the commit, or the commit
	time    time.Time
}

// clone makes the source from root's HEAD.
func clone(root, folder string) (source, error) {
	s := source{folder: folder}
	if _, err := output("", "git", "clone", "--quiet", "--no-hardlinks", root, folder); err != nil {
		return s, err
	}
	version, err := output(folder, "git", "describe", "--tags", "--always")
	if err != nil {
		return s, err
	}
	committed, err := output(folder, "git", "log", "-1", "--format=%cI")
	if err != nil {
		return s, err
	}
	s.version = version
	s.time, err = time.Parse(time.RFC3339, committed)
	s.time = s.time.UTC()
	return s, err
}

// output runs a command and returns what it prints.
func output(folder, name string, arguments ...string) (string, error) {
	c := exec.Command(name, arguments...)
	c.Dir, c.Stderr = folder, os.Stderr
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(c.Args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// build makes the binary of t at path. Of the environment, only the settings of where Go finds and keeps things have an
// effect, and those in more. The binary contains the commit, but no path.
func (s source) build(path string, t target, more ...string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	c := exec.Command("go", "build", "-trimpath", "-buildvcs=true", "-ldflags", "-s -w -buildid= -X main.version="+s.version, "-o", path, "./cmd/weir")
	c.Dir, c.Stderr = s.folder, os.Stderr
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOFIPS140=off", "GOAMD64=v1", "GOARM64=v8.0", "GOOS="+t.os, "GOARCH="+t.arch)
	c.Env = append(c.Env, more...)
	return c.Run()
}

// static checks that a Linux binary needs no library and no loader: the image has none.
func static(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it is only read
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			return errors.New("it is not static")
		}
	}
	return nil
}
