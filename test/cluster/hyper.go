// Package cluster runs the real control plane of Kubernetes for tests: etcd and kube-apiserver, as processes of this
// machine that listen on loopback. They are one program, which is built from its modules once (`make kube`) and kept
// in the user's cache folder, by version.
package cluster

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Version is the version of Kubernetes; it is also in hyper/go.mod.
const Version = "1.37.2"

// Folder returns the folder of this module.
func Folder() string {
	_, file, _, _ := runtime.Caller(0) //nolint:dogsled // only the file is asked for
	return filepath.Dir(file)
}

// Program returns the path of the program with the parts of Kubernetes, whether or not Build has made it yet. Its
// name says what it was made of. With pods it has the parts that run pods, in addition to the control plane.
func Program(pods bool) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, name := range []string{"go.mod", "go.sum", "main.go", "node.go", "nonode.go"} {
		text, err := os.ReadFile(filepath.Join(Folder(), "hyper", name))
		if err != nil {
			return "", err
		}
		sum.Write(text)
	}
	kind := "control"
	if pods {
		kind = "node"
	}
	return filepath.Join(cache, "weir", "kube", fmt.Sprintf("%s-%s-%s-%x", kind, Version, runtime.Version(), sum.Sum(nil)[:6])), nil
}

// Build makes the program if it does not exist yet, which keeps all processors busy for some minutes, and writes its
// progress to out.
func Build(pods bool, out io.Writer) (string, error) {
	path, err := Program(pods)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return "", err
	}
	_, minor, _ := strings.Cut(Version, ".")
	minor, _, _ = strings.Cut(minor, ".")
	const versions = " -X k8s.io/component-base/version."
	made := fmt.Sprintf("%s.%d", path, os.Getpid())
	arguments := []string{
		"build", "-trimpath", "-ldflags", "-s -w" + versions + "gitVersion=v" + Version + versions + "gitMajor=1" + versions + "gitMinor=" + minor, "-o", made,
	}
	if pods {
		arguments = append(arguments, "-tags", "node")
	}
	build := exec.Command("go", append(arguments, ".")...) //nolint:noctx // it ends
	build.Dir, build.Env = filepath.Join(Folder(), "hyper"), append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	build.Stdout, build.Stderr = out, out
	_, _ = fmt.Fprintf(out, "building Kubernetes %s as %s; the first time takes some minutes\n", Version, path)
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("go build of Kubernetes: %w", err)
	}
	return path, os.Rename(made, path) // whole or not at all
}
