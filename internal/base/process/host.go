package process

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
)

// InstanceVariable is the environment variable that marks every process of a function with the id of its instance. The
// id reveals nothing that could be exploited.
const InstanceVariable = "WEIR_FUNCTION_INSTANCE"

// Host starts processes. Each of its users opens it and closes it. Between the first Open and the last Close it owns a
// thread, a guard and a temporary folder. It is safe for concurrent use.
type Host struct {
	guardCommand []string // the program and arguments of the guard; empty for no guard

	mu    sync.Mutex
	users int
	open  *opened // nil while it has no users
}

// opened is what a Host owns while it is in use.
type opened struct {
	log     *slog.Logger
	token   string // random, so that a sweep finds only this Host's processes
	dir     string // holds the temporary folders of all instances
	starts  chan func()
	ended   chan struct{} // closed when the starting thread is gone
	guard   *guard        // nil if there is none
	cgroups *cgroups      // nil if the kernel does not limit memory
	serial  atomic.Uint64
}

// NewHost makes a Host that starts guard as its guard; nil means no guard. It starts nothing before Open.
func NewHost(guard []string) *Host { return &Host{guardCommand: guard} }

// Open makes the host ready for one more user. Only the log of the first user receives messages about the guard.
func (h *Host) Open(log *slog.Logger) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.users == 0 {
		o, err := h.start(log)
		if err != nil {
			return err
		}
		h.open = o
	}
	h.users++
	return nil
}

// Close ends one use. The last Close ends the thread and the guard. All processes must have ended before that.
func (h *Host) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users--
	if h.users > 0 {
		return
	}
	o := h.open
	h.open = nil
	close(o.starts)
	<-o.ended
	if o.guard != nil {
		o.guard.close()
	}
	if err := os.RemoveAll(o.dir); err != nil {
		o.log.Warn("the temporary folder of functions could not be removed", "folder", o.dir, "error", err)
	}
}

// dirPrefix begins the name of the temporary folder. The guard removes no other folder.
const dirPrefix = "weir-functions-"

func (h *Host) start(log *slog.Logger) (*opened, error) {
	var random [12]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	o := &opened{log: log, token: hex.EncodeToString(random[:]), starts: make(chan func()), ended: make(chan struct{})}
	o.dir = filepath.Join(os.TempDir(), dirPrefix+o.token)
	if err := os.Mkdir(o.dir, 0o700); err != nil {
		return nil, fmt.Errorf("temporary folder of functions: %w", err)
	}
	groups, err := openCgroups(o.token) // before the guard starts, which would be in the group, too
	if err == nil {
		o.cgroups = groups
	}
	log.Debug("control groups for the memory of functions", "used", err == nil, "reason", err)
	if len(h.guardCommand) > 0 && needsGuard {
		g, err := startGuard(h.guardCommand, o.token, o.dir, log)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("guard of function processes: %w", err), os.RemoveAll(o.dir))
		}
		o.guard = g
	}
	go o.runThread()
	return o, nil
}

// runThread starts processes from one thread that lives until the host is closed, because Linux sends the parent-death
// signal when the thread that forked ends.
func (o *opened) runThread() {
	defer close(o.ended)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for start := range o.starts {
		start()
	}
}

func (o *opened) onThread(start func() error) error {
	result := make(chan error, 1)
	o.starts <- func() { result <- start() }
	return <-result
}

// newID returns the id of a new instance: the host's token and a number.
func (o *opened) newID() (id, serial string) {
	serial = strconv.FormatUint(o.serial.Add(1), 10)
	return o.token + "." + serial, serial
}

// tempFor makes the temporary folder of an instance. It makes the host's folder again if that is gone, because systems
// remove old files from such places.
func (o *opened) tempFor(serial string) (string, error) {
	dir := filepath.Join(o.dir, serial)
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.Mkdir(o.dir, 0o700); err == nil || errors.Is(err, fs.ErrExist) { // another start may have made it
			err = os.Mkdir(dir, 0o700)
		}
	}
	return dir, err //nolint:wrapcheck // Start says what it was for
}

var errNotOpen = errors.New("process: the host is not open")

func (h *Host) current() (*opened, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open == nil {
		return nil, errNotOpen
	}
	return h.open, nil
}
