package listen

import (
	"bufio"
	"bytes"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// unlimited is below what the kernel writes for no limit in cgroup v1 (the largest multiple of a page), and above what
// any machine has.
const unlimited = 1 << 60

// readCgroupLimit returns the smallest memory limit of the cgroups that this process is in, of versions 1 and 2 and up
// to the root, in bytes; 0 if there is none. root is the file system, from "/" (cgroups(7), proc_pid_mountinfo(5)).
func readCgroupLimit(root fs.FS) int64 {
	limit := int64(0)
	for _, group := range memoryCgroups(root) {
		limit = smaller(limit, group.limit(root))
	}
	return limit
}

// cgroup is one hierarchy that may bound memory.
type cgroup struct {
	mount string   // where it is mounted, without the leading slash
	path  string   // of this process, below mount
	files []string // the files that hold limits
}

// memoryCgroups finds the hierarchies of this process with a memory controller.
func memoryCgroups(root fs.FS) []cgroup {
	paths := cgroupPaths(root)
	var groups []cgroup
	for fields := range lines(root, "proc/self/mountinfo") {
		separator := slices.Index(fields, "-")
		if separator < 5 || len(fields) < separator+4 {
			continue
		}
		kind, options := fields[separator+1], strings.Split(fields[separator+3], ",")
		group := cgroup{mount: strings.TrimPrefix(fields[4], "/")}
		controller := ""
		switch {
		case kind == "cgroup2":
			group.files = []string{"memory.max", "memory.high"}
		case kind == "cgroup" && slices.Contains(options, "memory"):
			group.files, controller = []string{"memory.limit_in_bytes"}, "memory"
		default:
			continue
		}
		own, ok := paths[controller]
		if !ok {
			continue
		}
		// In a container the mount shows only a part of the tree, which begins at its root field.
		group.path = strings.TrimPrefix(own, strings.TrimSuffix(fields[3], "/"))
		groups = append(groups, group)
	}
	return groups
}

// cgroupPaths returns the path of this process by controller; the path of version 2 is under "".
func cgroupPaths(root fs.FS) map[string]string {
	paths := make(map[string]string)
	content, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return paths
	}
	for line := range strings.Lines(string(content)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			paths[controller] = parts[2]
		}
	}
	return paths
}

// limit returns the smallest limit from the process's own group up to the mount.
func (g cgroup) limit(root fs.FS) int64 {
	limit := int64(0)
	for own := path.Clean("/" + g.path); ; own = path.Dir(own) {
		for _, file := range g.files {
			limit = smaller(limit, readLimit(root, path.Join(g.mount, own, file)))
		}
		if own == "/" {
			return limit
		}
	}
}

func readLimit(root fs.FS, name string) int64 {
	content, err := fs.ReadFile(root, name)
	if err != nil {
		return 0 // the root group has no such file
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(content)), 10, 64)
	if err != nil || n >= unlimited {
		return 0 // "max"
	}
	return n
}

// lines yields the fields of each line of a file; nothing if the file cannot be read.
func lines(root fs.FS, name string) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		file, err := root.Open(name)
		if err != nil {
			return
		}
		defer func() { _ = file.Close() }() // it was only read
		for scanner := bufio.NewScanner(file); scanner.Scan(); {
			if !yield(strings.Fields(scanner.Text())) {
				return
			}
		}
	}
}
