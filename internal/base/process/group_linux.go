package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// sweepRounds bounds a sweep against processes that keep forking while it runs.
const sweepRounds = 10

// sweep kills every process that has a mark beginning with id in its environment. These are processes that left their
// group with setsid(2). sweep cannot see processes that cleared their environment or run as another user.
func sweep(id string) {
	for range sweepRounds {
		marked := markedProcesses(id)
		if len(marked) == 0 {
			return
		}
		for _, pid := range marked {
			_ = syscall.Kill(pid, syscall.SIGKILL) // an error: it has just ended
		}
	}
}

func markedProcesses(id string) []int {
	mark := []byte("\x00" + InstanceVariable + "=" + id)
	files, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is well formed
	var pids []int
	for _, file := range files {
		environ, err := os.ReadFile(file)
		if err != nil || !carries(environ, mark) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// carries reports whether environ holds the mark. An instance's mark ends with its number and must match whole, so that
// 1 does not match 12. A host's mark ends with a dot and matches as a prefix.
func carries(environ, mark []byte) bool {
	at := bytes.Index(append([]byte{0}, environ...), mark)
	if at < 0 {
		return false
	}
	rest := environ[at+len(mark)-1:]
	return mark[len(mark)-1] == '.' || len(rest) == 0 || rest[0] == 0
}
