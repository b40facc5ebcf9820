package process

import (
	"bytes"
	"os"
	"strconv"
)

// peak reads the largest resident set of a process (VmHWM in proc_pid_status(5)). The value from wait4 cannot be used:
// it includes what this program used when it started the process.
func peak(pid int) int64 {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	line, _, _ := bytes.Cut(rest, []byte(" kB"))
	kib, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}
