package listen

// filesKept is the least number of file descriptors that clients leave to
// connections to backends, logs and the rest of the process.
const filesKept = 64

// Room is how many of limit client connections a Server of this process accepts; the
// limit of open files may be the narrower one.
func Room(limit int) int { return roomForClients(limit, openFiles()) }

// roomForClients is how many of limit connections may be open where the process
// may open that many files; 0 files is not known. Every request needs a second
// descriptor, towards its backend: where clients that only wait could take them
// all, none of them could be answered.
func roomForClients(limit, files int) int {
	if files <= 0 {
		return limit
	}
	return max(1, min(limit, files-max(files/4, filesKept)))
}
