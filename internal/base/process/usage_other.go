//go:build !linux

package process

// looks is false: without a system library, there is no way here to read the memory use of other processes.
const looks = false

func memoryOf(int, int64) (int64, bool) { return 0, false }
