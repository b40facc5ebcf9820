package proxyproto

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/netip"
)

const signature = "\r\n\r\n\x00\r\nQUIT\n"

// The bytes of the version 2 header (section 2.2).
const (
	headBytes = 16 // signature, version and command, family and transport, length

	local     = 0x20
	proxied   = 0x21
	checksum  = 0x03 // the type of the field that contains a CRC32c of the header
	stream    = 0x01 // in the low half of the fourteenth byte
	tlvBytes  = 3    // type and length of a field
	sumBytes  = 4
	unixBytes = 216
)

// family is the form in which the addresses of a header are written: the high half of its fourteenth byte.
type family uint8

const (
	unknown family = iota
	inet
	inet6
	unix
)

func (f family) bytes() int {
	return [...]int{unknown: 0, inet: 12, inet6: 36, unix: unixBytes}[f]
}

// parseBinary reads version 2.
func parseBinary(b []byte) (Header, int, error) {
	if begins := min(len(b), len(signature)); string(b[:begins]) != signature[:begins] {
		return Header{}, 0, fmt.Errorf("%w: the connection begins with something else", ErrMalformed)
	}
	if len(b) < headBytes {
		return Header{}, 0, nil
	}
	command, kind := b[12], b[13]
	n := headBytes + int(binary.BigEndian.Uint16(b[14:]))
	switch {
	case command != local && command != proxied:
		return Header{}, 0, fmt.Errorf("%w: version and command %#02x are not known", ErrMalformed, command)
	case n > MaxBytes:
		return Header{}, 0, fmt.Errorf("%w: it has %d bytes, more than %d", ErrMalformed, n, MaxBytes)
	case command == proxied && (kind>>4 > byte(unix) || kind&0xf > stream || kind>>4 != byte(unknown) && kind&0xf != stream):
		return Header{}, 0, fmt.Errorf("%w: family and transport %#02x are not those of a connection", ErrMalformed, kind)
	case len(b) < n:
		return Header{}, 0, nil
	case command == local:
		return Header{}, n, nil // the rest is ignored (section 2.2)
	}
	h, err := parseBody(b[:n], family(kind>>4))
	if err != nil {
		return Header{}, 0, err
	}
	return h, n, nil
}

// parseBody reads the addresses and fields of a complete header.
func parseBody(b []byte, f family) (Header, error) {
	body := b[headBytes:]
	if f == unknown { // it is unknown where addresses would end and fields begin
		return Header{}, nil
	}
	if len(body) < f.bytes() {
		return Header{}, fmt.Errorf("%w: its addresses are cut off", ErrMalformed)
	}
	if err := checkFields(b, headBytes+f.bytes()); err != nil {
		return Header{}, err
	}
	order := binary.BigEndian
	switch f {
	case inet:
		return Header{
			unmapped(netip.AddrFrom4([4]byte(body)), order.Uint16(body[8:])),
			unmapped(netip.AddrFrom4([4]byte(body[4:])), order.Uint16(body[10:])),
		}, nil
	case inet6:
		return Header{
			unmapped(netip.AddrFrom16([16]byte(body)), order.Uint16(body[32:])),
			unmapped(netip.AddrFrom16([16]byte(body[16:])), order.Uint16(body[34:])),
		}, nil
	default: // the names of Unix sockets are not client addresses
		return Header{}, nil
	}
}

// checkFields walks through the fields from offset at on. Only the checksum is examined.
func checkFields(header []byte, at int) error {
	for at < len(header) {
		if len(header)-at < tlvBytes {
			return fmt.Errorf("%w: a field is cut off", ErrMalformed)
		}
		kind, length := header[at], int(binary.BigEndian.Uint16(header[at+1:]))
		at += tlvBytes
		if len(header)-at < length {
			return fmt.Errorf("%w: a field is cut off", ErrMalformed)
		}
		if kind == checksum && (length != sumBytes || binary.BigEndian.Uint32(header[at:]) != sumWithout(header, at)) {
			return fmt.Errorf("%w: its checksum is wrong", ErrMalformed)
		}
		at += length
	}
	return nil
}

// sumWithout returns the CRC32c of a header in which the checksum at offset at counts as zero.
func sumWithout(header []byte, at int) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, header[:at])
	sum = crc32.Update(sum, table, make([]byte, sumBytes))
	return crc32.Update(sum, table, header[at+sumBytes:])
}

// family returns the form that has room for both addresses.
func (h Header) family() family {
	source, destination := h.Source.Addr(), h.Destination.Addr()
	switch {
	case !source.IsValid() || !destination.IsValid():
		return unknown
	case source.Unmap().Is4() && destination.Unmap().Is4():
		return inet
	default:
		return inet6
	}
}

// addresses converts both addresses to the form f; beside an IPv6 address, IPv4 is written as IPv4 in IPv6.
func (h Header) addresses(f family) (source, destination netip.Addr) {
	if f == inet {
		return h.Source.Addr().Unmap(), h.Destination.Addr().Unmap()
	}
	return netip.AddrFrom16(h.Source.Addr().As16()), netip.AddrFrom16(h.Destination.Addr().As16())
}

// AppendV2 writes a header of version 2. If one of the addresses is not valid, the connection is declared as the
// proxy's own.
func (h Header) AppendV2(b []byte) []byte {
	b = append(b, signature...)
	order := binary.BigEndian
	f := h.family()
	if f == unknown {
		return append(b, local, 0, 0, 0)
	}
	b = append(b, proxied, byte(f)<<4|stream)
	b = order.AppendUint16(b, uint16(f.bytes()))
	source, destination := h.addresses(f)
	b = append(append(b, source.AsSlice()...), destination.AsSlice()...)
	return order.AppendUint16(order.AppendUint16(b, h.Source.Port()), h.Destination.Port())
}
