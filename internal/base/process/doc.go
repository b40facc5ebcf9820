// Package process starts programs in such a way that none of their processes is ever left behind: neither after a
// program was stopped nor after this program was killed. The programs are function instances, the builds that make
// them, and programs that run as registered services.
//
//   - Each process leads its own process group, and the whole
//     group is killed at once (Windows: a job object).
//   - On Linux the kernel kills the leader when this program dies
//     (PR_SET_PDEATHSIG, see prctl(2)). That signal is tied to the thread that
//     forked, so all processes are started from one thread that lives as long
//     as the Host.
//   - The parent-death signal does not cover the children of those processes, and other systems do not have it. So on
//     Unix a guard runs as well: this same program, started with the argument GuardArgument, in its own session. It
//     holds the reading end of a pipe. When the pipe closes, for whatever reason, the guard kills every group that was
//     not signed off. On Linux it also kills every process that left its group (a variable in the environment
//     identifies them). Then it removes the temporary folders.
package process
