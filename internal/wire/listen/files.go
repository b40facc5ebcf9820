package listen

// filesKept is the least number of file descriptors that clients leave for connections to backends, logs and the rest
// of the process.
const filesKept = 64

// Room returns how many of limit client connections a Server of this process accepts; the limit of open files may be
// lower.
func Room(limit int) int { return roomForClients(limit, openFiles()) }

// roomForClients returns how many of limit connections may be open if the process may open that many files; 0 files
// means unknown. Every request needs a second descriptor, towards its backend: if clients that only wait could take all
// descriptors, none of them could be answered.
func roomForClients(limit, files int) int {
	if files <= 0 {
		return limit
	}
	return max(1, min(limit, files-max(files/4, filesKept)))
}
