//go:build !linux

package process_test

import (
	"syscall"
	"testing"
)

func ownSession() *syscall.SysProcAttr { return nil }

func alive(int) bool { return false }

func killPID(*testing.T, int) {}

func guardOf(*testing.T, int) int { return 0 }
