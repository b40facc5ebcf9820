package process

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// listens looks whose the sockets are that whoever connects to at may meet: those of the leader,
// of all that it has started, and of those that carry its mark. known is false where a process of these
// cannot be looked into, as one that runs as another user, and no other has such a socket.
func listens(pid int, mark string, at netip.AddrPort) (own, known bool) {
	sockets, ok := listening(at)
	if !ok {
		return false, false
	}
	known = true
	for _, family := range []func() []int{func() []int { return descendants(pid) }, func() []int { return markedProcesses(mark) }} {
		for _, member := range family() {
			has, looked := holds(member, sockets)
			if has {
				return true, true
			}
			known = known && looked
		}
	}
	return false, known
}

// holds tells whether a process has one of the sockets open; looked is false where that is not told. One
// that has ended has none.
func holds(pid int, sockets map[string]bool) (has, looked bool) {
	folder := "/proc/" + strconv.Itoa(pid) + "/fd"
	files, err := os.ReadDir(folder)
	if err != nil {
		return false, os.IsNotExist(err)
	}
	for _, file := range files {
		if to, err := os.Readlink(filepath.Join(folder, file.Name())); err == nil && sockets[to] {
			return true, true
		}
	}
	return false, true
}

// listening gives the sockets of this network that listen at an address, as links of /proc/PID/fd
// name them. The kernel gives a connection to those of the very address, and to those of
// all addresses only where there are none.
func listening(at netip.AddrPort) (sockets map[string]bool, ok bool) {
	exact, wide := map[string]bool{}, map[string]bool{}
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue // there is no IPv6, or no /proc at all
		}
		ok = true
		for line := range bytes.Lines(text) {
			local, inode, listens := parseSocket(string(line))
			switch {
			case !listens || local.Port() != at.Port():
			case local.Addr().Unmap() == at.Addr().Unmap():
				exact["socket:["+inode+"]"] = true
			case local.Addr().IsUnspecified() && (local.Addr().Is6() || at.Addr().Unmap().Is4()):
				wide["socket:["+inode+"]"] = true
			}
		}
	}
	if len(exact) > 0 {
		return exact, ok
	}
	return wide, ok
}

// listen is the state TCP_LISTEN as /proc/net/tcp writes it (proc_pid_net(5)).
const listen = "0A"

// parseSocket reads a line of /proc/net/tcp or tcp6.
func parseSocket(line string) (local netip.AddrPort, inode string, listens bool) {
	fields := strings.Fields(line)
	if len(fields) < 10 || fields[3] != listen {
		return netip.AddrPort{}, "", false
	}
	host, digits, _ := strings.Cut(fields[1], ":")
	raw, err := hex.DecodeString(host)
	port, err2 := strconv.ParseUint(digits, 16, 16)
	if err != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, "", false
	}
	for at := 0; at < len(raw); at += 4 { // words in the order of this machine
		binary.NativeEndian.PutUint32(raw[at:], binary.BigEndian.Uint32(raw[at:]))
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip, uint16(port)), fields[9], ok
}
