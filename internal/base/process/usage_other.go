//go:build !linux

package process

// looks is false: there is no way here to see the memory of others that needs no
// library of the system's.
const looks = false

func memoryOf(int, int64) (int64, bool) { return 0, false }
