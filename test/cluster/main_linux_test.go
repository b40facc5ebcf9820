// Package cluster_test runs Weir against a real API server. Kubernetes does not accept loopback addresses for
// endpoints. The tests therefore run in a network namespace of their own, in which all of 10.250.0.0/16 is this
// machine, and from which nothing can connect to the outside.
package cluster_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/test/weirtest"
)

// within is the environment variable that tells a process of the tests that it is inside the network.
const within = "WEIR_TEST_NETWORK"

func TestMain(m *testing.M) {
	if os.Getenv(within) == "" {
		os.Exit(enter())
	}
	for _, arguments := range [][]string{
		{"link", "set", "lo", "up"}, {"route", "add", "local", "10.250.0.0/16", "dev", "lo"},
	} {
		if out, err := exec.Command("ip", arguments...).CombinedOutput(); err != nil { //nolint:noctx // it ends at once
			fmt.Fprintf(os.Stderr, "ip %v: %v %s\n", arguments, err, out)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		weirtest.Cleanup()
		os.Exit(code)
	}))
}

// enter runs the tests in a network of their own, as root of a user namespace if this user is not root.
func enter() int {
	self := exec.Command("/proc/self/exe", os.Args[1:]...) //nolint:noctx // the same once more
	self.Stdin, self.Stdout, self.Stderr = os.Stdin, os.Stdout, os.Stderr
	self.Env = append(os.Environ(), within+"=yes")
	self.SysProcAttr = namespaces()
	err := self.Run()
	var ended *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ended):
		return ended.ExitCode()
	}
	fmt.Fprintln(os.Stderr, "no network of its own, so that nothing is tested here:", err)
	return 0
}

// namespaces returns the attributes of a process in a network of its own.
func namespaces() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		attributes.Cloneflags |= syscall.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return attributes
}
