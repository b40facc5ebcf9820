// Package queue keeps jobs on disk until they are done: requests that were accepted and are sent later. When Put
// returns without an error, the job is on disk. It is then tried until its lane reports an outcome that ends it, it is
// cancelled, or it is too old. This also holds after a crash. If nobody can tell whether the last attempt has
// succeeded, the job is tried once more (at least once).
//
//   - job.go: what a job is, and how it ends.
//   - queue.go: putting jobs and asking for them.
//   - lane.go: the jobs of one lane, ordered by when they are due.
//   - work.go: attempts.
//   - bound.go: the bounds, and what is swept away.
//   - store.go: the file, and the one goroutine that writes it.
//   - load.go: loading the file at the start.
//   - seal.go: everything in the file is encrypted.
//   - release.go: how the queue passes from one process to the next.
//
// The queue knows nothing of HTTP. What a job contains and how it is sent is up to its lane.
package queue
