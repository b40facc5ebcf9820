package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Inherited are listening sockets that this process was started with, by the process before it (see Parcel) or by a
// service manager (sd_listen_fds(3)). They belong to one goroutine.
type Inherited struct {
	sockets []inherited
	files   []*net.UnixListener // taken sockets whose files are ours from Ready on
	ready   *os.File            // tells the process before; nil if there is none
	token   *os.File            // see Token
}

type inherited struct {
	name     string // what the sender calls it
	own      bool   // it is from the process before
	listener net.Listener
}

// managed is a socket that a service manager also holds, and gives to the process after this one: it must stay as it
// is, and so must its file.
type managed struct{ fileListener }

// fileListener is what listeners of package net have in common.
type fileListener interface {
	net.Listener
	syscall.Conn
	SetDeadline(t time.Time) error
}

// managedMark follows the escaped name of a managed socket in a Parcel.
const managedMark = "*"

// Want is a socket that a config asks for.
type Want struct {
	Key       string // what a Parcel calls it
	Address   string
	Listeners []string // the names under which a service manager may know it
}

const (
	firstInherited = 3 // after standard input, output and error
	handoverNames  = "WEIR_HANDOVER"
	handoverToken  = "WEIR_HANDOVER_TOKEN"
)

// Held returns sockets that this program opened itself, before it knew what for. The caller that opened them closes
// those that are not taken.
func Held(sockets ...net.Listener) *Inherited {
	i := &Inherited{}
	for _, l := range sockets {
		i.sockets = append(i.sockets, inherited{name: l.Addr().String(), listener: l})
	}
	return i
}

// Inherit takes what this process was started with, once, at its start. It removes the variables that describe it from
// the environment.
func Inherit() (*Inherited, error) {
	i := &Inherited{}
	names, own := os.LookupEnv(handoverNames)
	_, hasToken := os.LookupEnv(handoverToken)
	given := managedGifts()
	for _, name := range []string{handoverNames, handoverToken, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(name); err != nil {
			return nil, fmt.Errorf("inherited sockets: %w", err)
		}
	}
	if !own {
		err := i.take(given)
		return i, err
	}
	given = nil
	for name := range strings.SplitSeq(names, ",") {
		name, marked := strings.CutSuffix(name, managedMark)
		name, err := url.QueryUnescape(name)
		if err != nil {
			return nil, fmt.Errorf("inherited sockets: %w", err)
		}
		given = append(given, gift{name, true, marked})
	}
	given = given[:len(given)-1] // every name is followed by a comma, so the last one is empty
	i.ready = os.NewFile(uintptr(firstInherited+len(given)), "ready")
	keepFromChildren(i.ready)
	if hasToken {
		i.token = os.NewFile(uintptr(firstInherited+len(given)+1), "token")
		keepFromChildren(i.token)
	}
	err := i.take(given)
	return i, err
}

// Token returns what the process before has put into its Parcel, nil for nothing. The caller closes it.
func (i *Inherited) Token() *os.File {
	if i == nil {
		return nil
	}
	token := i.token
	i.token = nil
	return token
}

// gift is a socket under its sender's name.
type gift struct {
	name         string
	own, managed bool
}

// managedGifts returns what a service manager gave this process, in order; nil for nothing.
func managedGifts() []gift {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil // they are meant for another process
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 1 {
		return nil
	}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	given := make([]gift, n)
	for i := range given {
		given[i].managed = true
		if i < len(names) {
			given[i].name = names[i]
		}
	}
	return given
}

// take makes listeners from the file descriptors of what was given.
func (i *Inherited) take(given []gift) error {
	var errs []error
	for at, g := range given {
		file := os.NewFile(uintptr(firstInherited+at), g.name)
		if file == nil {
			errs = append(errs, fmt.Errorf("inherited socket %q: there is no file descriptor %d", g.name, firstInherited+at))
			continue
		}
		l, err := net.FileListener(file) // a copy, which no child gets
		_ = file.Close()                 // the copy is the one that is used
		if err != nil {
			errs = append(errs, fmt.Errorf("inherited socket %q is none that connections come from: %w", g.name, err))
			continue
		}
		if of, ok := l.(fileListener); ok && g.managed {
			l = managed{of}
		}
		i.sockets = append(i.sockets, inherited{g.name, g.own, l})
	}
	return errors.Join(errs...)
}

// Take returns the inherited socket that w means, nil for none. This is the one with its key, otherwise one that a
// service manager calls by the name of one of its listeners, otherwise one that is bound to its address.
func (i *Inherited) Take(w Want) net.Listener {
	if i == nil {
		return nil
	}
	for _, means := range []func(inherited) bool{
		func(s inherited) bool { return s.own && s.name == w.Key },
		func(s inherited) bool { return !s.own && slices.Contains(w.Listeners, s.name) },
		func(s inherited) bool { return !s.own && sameAddress(s.listener.Addr(), w.Address) },
	} {
		if at := slices.IndexFunc(i.sockets, means); at >= 0 {
			s := i.sockets[at]
			i.sockets = slices.Delete(i.sockets, at, at+1)
			if unix, ok := s.listener.(*net.UnixListener); ok && s.own {
				i.files = append(i.files, unix)
			}
			return s.listener
		}
	}
	return nil
}

// sameAddress reports whether a socket is bound to what a config writes as address.
func sameAddress(bound net.Addr, address string) bool {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return bound.Network() == "unix" && bound.String() == path
	}
	host, port, err := net.SplitHostPort(address)
	tcp, ok := bound.(*net.TCPAddr)
	if err != nil || !ok || port != strconv.Itoa(tcp.Port) {
		return false
	}
	at, everywhere := tcp.AddrPort().Addr().Unmap(), host == ""
	if ip, err := netip.ParseAddr(host); err == nil {
		everywhere = ip.IsUnspecified()
		if ip.Unmap() == at {
			return true
		}
	}
	return everywhere && at.IsUnspecified()
}

// Succeeds reports whether this process was started to take over from another one.
func (i *Inherited) Succeeds() bool { return i != nil && i.ready != nil }

// Rest closes the sockets that were not taken, and returns their senders' names for them.
func (i *Inherited) Rest() []string {
	if i == nil {
		return nil
	}
	var names []string
	for _, s := range i.sockets {
		if unix, ok := s.listener.(*net.UnixListener); ok && s.own {
			unix.SetUnlinkOnClose(true) // no process has it any more
		}
		names = append(names, fmt.Sprintf("%s (%s)", s.name, s.listener.Addr()))
		_ = s.listener.Close() // it has served no client
	}
	i.sockets = nil
	return names
}

// Ready tells the process before that this one serves, so that the other ends. Until then that process may have to go
// on, and the files of its Unix sockets are not removed.
func (i *Inherited) Ready() error {
	if i == nil || i.ready == nil {
		return nil
	}
	for _, l := range i.files {
		l.SetUnlinkOnClose(true)
	}
	_, err := i.ready.WriteString(readyWord)
	err = errors.Join(err, i.ready.Close())
	i.ready = nil
	return err
}

const readyWord = "ready\n"
