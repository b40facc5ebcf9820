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

// listens finds out who owns the sockets that can accept a connection to the address at. own is true if it is the
// leader, a process that the leader has started (directly or not), or a process that carries its mark. known is false
// if none of them was found to own such a socket and one could not be inspected, for example because it runs as another
// user.
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

// holds reports whether a process has one of the sockets open. looked is false if that cannot be determined. A process
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

// listening returns the sockets of this network namespace that listen at an address, in the form of the links in
// /proc/PID/fd. The kernel gives a connection to the sockets bound to exactly that address. Only if there are none does
// it give the connection to those bound to all addresses.
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

// listen is the state TCP_LISTEN in the notation of /proc/net/tcp (proc_pid_net(5)).
const listen = "0A"

// parseSocket reads a line of /proc/net/tcp or /proc/net/tcp6.
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
	for at := 0; at < len(raw); at += 4 { // words in this machine's byte order
		binary.NativeEndian.PutUint32(raw[at:], binary.BigEndian.Uint32(raw[at:]))
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip, uint16(port)), fields[9], ok
}
