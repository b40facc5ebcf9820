package listen

import "os"

// cgroupLimit returns the memory limit of this process's cgroups in bytes, 0 for none.
func cgroupLimit() int64 { return readCgroupLimit(os.DirFS("/")) }
