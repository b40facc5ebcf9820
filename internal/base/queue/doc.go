// Package queue keeps jobs on disk until they are done: requests that were accepted and are
// sent later. What Put has returned without an error is on disk, and is tried until its lane
// says what became of it, it is cancelled, or it is too old; also after a crash, and once more
// where nobody can tell whether the last attempt has come through (at least once).
//
//   - job.go: what a job is, and how it ends.
//   - queue.go: the queue towards those who put and ask.
//   - lane.go: the jobs of one lane, by when they are due.
//   - work.go: attempts.
//   - bound.go: what there is room for, and what is swept away.
//   - store.go: the file, and the one goroutine that writes it.
//   - load.go: what was there at the start.
//   - seal.go: everything in the file is encrypted.
//   - release.go: how the queue goes from one process to the next.
//
// The queue knows nothing of HTTP: what a job holds and how it is sent is its lane's.
package queue
