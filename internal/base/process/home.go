package process

import (
	"fmt"
	"os"
	"slices"
	"sync"
)

// home is what the processes of one instance share. The first process makes it, and the last process to leave removes
// it.
type home struct {
	temp   string  // the temporary folder
	cgroup *cgroup // nil if the kernel does not limit their memory

	mu      sync.Mutex
	lodgers int        // processes that have not left, including those being started
	alive   []*Process // processes that have been started
}

// lodge returns the home of a process that is about to be started, with its serial and its mark.
func (o *opened) lodge(spec Spec) (h *home, serial, id string, err error) {
	id, serial = o.newID()
	if beside := spec.Beside; beside != nil {
		if !beside.home.enter() {
			return nil, "", "", fmt.Errorf("start %s: the process beside it has ended", spec.Path)
		}
		return beside.home, beside.Serial, id, nil
	}
	h = &home{lodgers: 1}
	if h.temp, err = o.tempFor(serial); err != nil {
		return nil, "", "", fmt.Errorf("temporary folder of an instance: %w", err)
	}
	if spec.Memory > 0 && o.cgroups != nil {
		if h.cgroup, err = o.cgroups.make(serial, spec.Memory); err != nil {
			o.log.Warn("the kernel does not hold the memory of an instance; it is watched instead", "error", err)
			h.cgroup = nil
		}
	}
	return h, serial, id, nil
}

// enter adds one more process, unless all have left.
func (h *home) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lodgers == 0 {
		return false
	}
	h.lodgers++
	return true
}

// moveIn records that p has been started.
func (h *home) moveIn(p *Process) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.alive = append(h.alive, p)
}

// leave records that p has ended or was never started.
func (h *home) leave(p *Process) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.alive = slices.DeleteFunc(h.alive, func(other *Process) bool { return other == p })
	if h.lodgers--; h.lodgers > 0 {
		return
	}
	if h.cgroup != nil {
		h.cgroup.close()
	}
	_ = os.RemoveAll(h.temp) // an error does not matter: the host removes the folder around it, and reports
}

// used is the memory of all processes in the home and of those that they have started (see memoryOf).
func (h *home) used(enough int64) (used int64, ok bool) {
	h.mu.Lock()
	all := slices.Clone(h.alive)
	h.mu.Unlock()
	for _, p := range all {
		if p.Ended() {
			continue // its number may already belong to another process
		}
		own, known := memoryOf(p.PID(), enough)
		used, ok = used+own, ok || known
	}
	return used, ok
}
