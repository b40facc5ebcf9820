package process

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// needsGuard is false: the kernel ends a job when its last handle is closed, and our handle is closed when this program
// ends.
const needsGuard = false

// group is a job object that ends all of its processes when it is closed.
type group struct {
	job    windows.Handle // 0 if it could not be made
	leader *os.Process
}

// newGroup puts the process into a job. If the job cannot be made, only the process itself can be ended.
func newGroup(leader *os.Process) group {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return group{leader: leader}
	}
	limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{
		BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{LimitFlags: windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE},
	}
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	if err == nil {
		err = assign(job, leader.Pid)
	}
	if err != nil {
		_ = windows.CloseHandle(job)
		return group{leader: leader}
	}
	return group{job, leader}
}

func assign(job windows.Handle, pid int) error {
	process, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(pid))
	if err != nil {
		return err //nolint:wrapcheck // the caller only looks whether it worked
	}
	defer func() { _ = windows.CloseHandle(process) }()
	return windows.AssignProcessToJobObject(job, process) //nolint:wrapcheck // as above
}

func (group) id() int { return 0 }

// ask does nothing: a process without a console cannot be asked to end.
func (group) ask(bool) bool { return false }

func (g group) kill() {
	if g.job != 0 {
		_ = windows.TerminateJobObject(g.job, 1)
	}
	_ = g.leader.Kill() // an error means that it has ended
}

func (g group) close() {
	if g.job != 0 {
		_ = windows.CloseHandle(g.job)
	}
}

func killGroup(int) {}

func sweep(string) {}

func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

func guardAttributes() *syscall.SysProcAttr { return nil }

func ignoreSignals() {}

func isTextBusy(error) bool { return false }

func code(s *os.ProcessState) int { return s.ExitCode() }
