package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

const looks = true // memoryOf works here

// memoryOf returns how much memory a process and its descendants use privately: pages that belong to no file. If the
// sum seems to be more than enough, pages that they share with each other are counted only once.
func memoryOf(pid int, enough int64) (used int64, ok bool) {
	family := descendants(pid)
	for _, pid := range family {
		own, known := anonymous(pid)
		used, ok = used+own, ok || known
	}
	if used <= enough {
		return used, ok
	}
	var exact int64
	for _, pid := range family {
		own, known := proportional(pid)
		if !known { // an old kernel
			own, _ = anonymous(pid)
		}
		exact += own
	}
	return exact, ok
}

// mostProcesses bounds the search for descendants of a process that forks without end.
const mostProcesses = 1000

// descendants returns the process and all processes that it and its children have started.
func descendants(pid int) []int {
	family := []int{pid}
	for at := 0; at < len(family) && len(family) < mostProcesses; at++ {
		// /proc lists the children by the thread that started them (proc(5)).
		lists, _ := filepath.Glob("/proc/" + strconv.Itoa(family[at]) + "/task/*/children") // the pattern is well formed
		for _, list := range lists {
			text, _ := os.ReadFile(list) // a thread that has just ended has none
			for field := range bytes.FieldsSeq(text) {
				if child, err := strconv.Atoi(string(field)); err == nil {
					family = append(family, child)
				}
			}
		}
	}
	return family
}

// anonymous reads /proc/PID/statm: the resident memory without pages that belong to files.
func anonymous(pid int) (int64, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0, false
	}
	return parseStatm(text)
}

// parseStatm reads the second and third number (proc_pid_statm(5)), in pages.
func parseStatm(text []byte) (int64, bool) {
	fields := bytes.Fields(text)
	if len(fields) < 3 {
		return 0, false
	}
	resident, err := strconv.ParseInt(string(fields[1]), 10, 40)
	shared, err2 := strconv.ParseInt(string(fields[2]), 10, 40)
	if err != nil || err2 != nil || shared < 0 || resident < shared {
		return 0, false
	}
	return (resident - shared) * int64(os.Getpagesize()), true
}

// proportional reads /proc/PID/smaps_rollup. There, each of n processes that share a page counts an n-th of it.
func proportional(pid int) (int64, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return 0, false
	}
	return parseRollup(text)
}

func parseRollup(text []byte) (int64, bool) {
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) != 3 || string(fields[0]) != "Pss_Anon:" {
			continue
		}
		kib, err := strconv.ParseInt(string(fields[1]), 10, 40)
		return kib << 10, err == nil && kib >= 0
	}
	return 0, false
}
