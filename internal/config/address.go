package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	pathpkg "path"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/loopback"
	"github.com/weir-gateway/weir/internal/base/pattern"
)

// checkAddress returns what is wrong with "host" or "host:port"; with needPort, the port is required. IPv6 addresses
// stand in brackets.
func checkAddress(address string, needPort bool) error {
	if err := checkBrackets(address); err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(address)
	switch {
	case err == nil:
	case strings.Count(address, ":") > 1 && !strings.HasPrefix(address, "["):
		return errors.New("an IPv6 address is written in brackets, as [::1]:80")
	case needPort:
		return fmt.Errorf("%q is not host:port", address)
	case strings.Contains(strings.TrimSuffix(address, "]"), ":") && !strings.HasPrefix(address, "["):
		return fmt.Errorf("%q is not host:port", address)
	default:
		host = address
	}
	if host == "" {
		return errors.New("it has no host")
	}
	if err == nil {
		if n, convErr := strconv.ParseUint(port, 10, 16); convErr != nil || n == 0 {
			return fmt.Errorf("%q is not a port; ports are numbers from 1 to 65535", port)
		}
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return nil
	}
	if endsInNumber(host) {
		return fmt.Errorf("%q ends in a number, which no name does, and is not an IP address; IPv4 is four numbers from 0 to 255, none with a leading zero", host)
	}
	h, hostErr := pattern.ParseHost(host)
	if hostErr != nil {
		return hostErr
	}
	if h.Kind != pattern.HostExact {
		return fmt.Errorf("%q is a pattern, not one host", host)
	}
	return nil
}

// checkBrackets returns what is wrong with an address that begins with a bracket.
func checkBrackets(address string) error {
	inside, bracketed := strings.CutPrefix(address, "[")
	if !bracketed {
		return nil
	}
	literal, rest, closed := strings.Cut(inside, "]")
	if ip, err := netip.ParseAddr(literal); err != nil || !closed || !ip.Is6() {
		return errors.New("only an IPv6 address is written in brackets, as [::1]:80")
	}
	if rest != "" && rest[0] != ':' {
		return errors.New("nothing but a port follows an IPv6 address, as [::1]:80")
	}
	return nil
}

// endsInNumber reports whether the last label is a number, which is true of no top-level domain. The writer of such a
// host meant an address, and other programs read it as one (the WHATWG's URL Standard, "ends in a number checker").
func endsInNumber(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	digits := "0123456789"
	if len(last) >= 2 && strings.EqualFold(last[:2], "0x") {
		last, digits = "0"+last[2:], "0123456789abcdefABCDEF" // 0x alone is 0
	}
	return last != "" && strings.Trim(last, digits) == ""
}

// unixScheme begins the address of a Unix socket.
const unixScheme = "unix"

// checkEndpoint returns what is wrong with the address of an endpoint: "host:port" or "unix:/path".
func checkEndpoint(address string) error {
	if path, ok := strings.CutPrefix(address, unixScheme+":"); ok {
		return CheckUnixPath(path)
	}
	return checkAddress(address, true)
}

// longestUnixPath is the longest path that fits on every system (the smallest sun_path has 104 bytes, one of which is
// the terminating zero).
const longestUnixPath = 103

// CheckUnixPath returns what is wrong with the path of a Unix socket to connect to.
func CheckUnixPath(path string) error {
	switch {
	case strings.HasPrefix(path, "//"):
		return fmt.Errorf("one slash begins the path: unix:/%s", strings.TrimLeft(path, "/"))
	case !strings.HasPrefix(path, "/"):
		return errors.New("the path of a socket begins with /, as unix:/run/app.sock")
	case strings.ContainsAny(path, "{}\x00"):
		return errors.New("the path of a socket is written out; otherwise a client could choose where it is sent")
	case len(path) > longestUnixPath:
		return fmt.Errorf("the path of a socket has at most %d bytes", longestUnixPath)
	case strings.HasSuffix(path, "/"):
		return errors.New("it is a folder, not a socket")
	case pathpkg.Clean(path) != path:
		return fmt.Errorf("the path of a socket must be written without detours: unix:%s", pathpkg.Clean(path))
	}
	return nil
}

// checkBind returns what is wrong with an address to listen on: ":8080", "127.0.0.1:8080", "[::1]:8080",
// "localhost:8080" or "unix:/run/weir.sock".
func checkBind(address string) error {
	if path, ok := strings.CutPrefix(address, unixScheme+":"); ok {
		if path == "" {
			return errors.New("unix: needs the path of a socket, as unix:/run/weir.sock")
		}
		return nil
	}
	if _, err := strconv.ParseUint(address, 10, 16); err == nil {
		return fmt.Errorf("a port alone is ambiguous; write :%s for every interface or 127.0.0.1:%s for this machine only", address, address)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("an address is written as :8080, 127.0.0.1:8080, [::1]:8080 or unix:/run/weir.sock")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q is not a port; ports are numbers up to 65535", port)
	}
	if host == "" {
		return nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	if h, err := pattern.ParseHost(host); err != nil || h.Kind != pattern.HostExact {
		return fmt.Errorf("%q is not an address or host name", host)
	}
	return nil
}

// sameBind reports whether it is impossible to listen on both addresses. Port 0 is a free port, a different one each
// time.
func sameBind(a, b string) bool {
	_, port, err := net.SplitHostPort(a)
	return a == b && (err != nil || strings.HasPrefix(a, "unix:") || port != "0")
}

// isLocal reports whether only this machine can reach a bound address.
func isLocal(address string) bool {
	if strings.HasPrefix(address, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	return loopback.Name(host)
}
