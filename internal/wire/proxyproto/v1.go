package proxyproto

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

const (
	text      = "PROXY "
	textBytes = 107 // of the longest line, including its end (section 2.1)
)

// parseText reads version 1, which is a line of text.
func parseText(b []byte) (Header, int, error) {
	if begins := min(len(b), len(text)); string(b[:begins]) != text[:begins] {
		return Header{}, 0, fmt.Errorf("%w: it begins like one of version 1 and is none", ErrMalformed)
	}
	end := bytes.IndexByte(b[:min(len(b), textBytes)], '\n')
	switch {
	case end < 0 && len(b) >= textBytes:
		return Header{}, 0, fmt.Errorf("%w: a line of version 1 has at most %d bytes", ErrMalformed, textBytes)
	case end < 0:
		return Header{}, 0, nil
	case b[end-1] != '\r':
		return Header{}, 0, fmt.Errorf("%w: a line feed without a carriage return", ErrMalformed)
	}
	h, err := parseLine(string(b[len(text) : end-1]))
	if err != nil {
		return Header{}, 0, err
	}
	return h, end + 1, nil
}

// parseLine reads what follows the word PROXY.
func parseLine(line string) (Header, error) {
	if line == "UNKNOWN" || strings.HasPrefix(line, "UNKNOWN ") {
		return Header{}, nil // the rest of the line is ignored (section 2.1)
	}
	words := strings.Split(line, " ")
	if len(words) != 5 || words[0] != "TCP4" && words[0] != "TCP6" {
		return Header{}, fmt.Errorf("%w: %q is not a family, two addresses and two ports", ErrMalformed, line)
	}
	source, err := parseAddress(words[0], words[1], words[3])
	if err != nil {
		return Header{}, err
	}
	destination, err := parseAddress(words[0], words[2], words[4])
	if err != nil {
		return Header{}, err
	}
	return Header{source, destination}, nil
}

func parseAddress(family, address, port string) (netip.AddrPort, error) {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Zone() != "" || ip.Is4() != (family == "TCP4") {
		return netip.AddrPort{}, fmt.Errorf("%w: %q is no address of %s", ErrMalformed, address, family)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(number, 10) != port {
		return netip.AddrPort{}, fmt.Errorf("%w: %q is no port", ErrMalformed, port)
	}
	return unmapped(ip, uint16(number)), nil
}

// AppendV1 writes a header of version 1. If one of the addresses is not valid, the client is written as unknown.
func (h Header) AppendV1(b []byte) []byte {
	family := h.family()
	if family == unknown {
		return append(b, text+"UNKNOWN\r\n"...)
	}
	source, destination := h.addresses(family)
	b = append(append(b, text...), [...]string{inet: "TCP4", inet6: "TCP6"}[family]...)
	b = source.AppendTo(append(b, ' '))
	b = destination.AppendTo(append(b, ' '))
	b = strconv.AppendUint(append(b, ' '), uint64(h.Source.Port()), 10)
	b = strconv.AppendUint(append(b, ' '), uint64(h.Destination.Port()), 10)
	return append(b, "\r\n"...)
}
