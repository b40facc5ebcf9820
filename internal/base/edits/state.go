package edits

import (
	"encoding/binary"
	"hash/fnv"
	"os"
	"slices"
	"strconv"
)

// IsRegular tells whether there is a regular file, or a link to one. All else that
// has a name, as a pipe or a device, may keep its reader waiting for good.
func IsRegular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// State gives a text that is another one when any of the files was written or
// replaced, or is gone. It reads none of them.
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
