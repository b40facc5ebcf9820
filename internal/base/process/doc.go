// Package process starts programs so that nothing of them is ever left behind: not
// after one was stopped, and not after this program was killed. They are the
// instances of functions, what builds them, and what is run as a registered service.
//
//   - Each process leads a process group of its own, and the whole
//     group is killed at once (Windows: a job object).
//   - On Linux the kernel kills the leader when this program dies
//     (PR_SET_PDEATHSIG, see prctl(2)). That signal is tied to the thread that
//     forked, so all processes are started from one thread that lives as long
//     as the Host.
//   - Their children are not covered by that, and other systems do not
//     have it. So on Unix a guard runs beside: this same program, started with
//     the argument GuardArgument, in a session of its own. It holds the reading
//     end of a pipe. When the pipe closes, for whatever reason, the guard kills
//     every group that was not signed off, on Linux also every process that
//     left its group (they are told by a variable in their environment), and
//     removes the temporary folders.
package process
