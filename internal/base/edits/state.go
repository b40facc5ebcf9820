package edits

import (
	"encoding/binary"
	"hash/fnv"
	"os"
	"slices"
	"strconv"
)

// IsRegular reports whether path is a regular file, or a link to one. Reading anything else, such as a pipe or a
// device, may block forever.
func IsRegular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// State returns a text that differs when any of the files was written, replaced or removed. It does not read the files.
func State(files []string) string {
	h := fnv.New64a()
	for _, file := range slices.Sorted(slices.Values(files)) {
		_, _ = h.Write([]byte(file))
		info, err := os.Stat(file)
		if err != nil {
			_, _ = h.Write([]byte{0})
			continue
		}
		var stamp [24]byte
		binary.BigEndian.PutUint64(stamp[:], uint64(info.Size()))
		binary.BigEndian.PutUint64(stamp[8:], uint64(info.ModTime().UnixNano()))
		binary.BigEndian.PutUint64(stamp[16:], uint64(info.Mode()))
		_, _ = h.Write(stamp[:])
	}
	return strconv.FormatUint(h.Sum64(), 36)
}
