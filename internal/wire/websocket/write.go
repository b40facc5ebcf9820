package websocket

import (
	"encoding/binary"
	"io"
)

// AppendFrame appends a server's frame, which is not masked.
func AppendFrame(out []byte, op Op, fin bool, payload []byte) []byte {
	first := byte(op)
	if fin {
		first |= finBit
	}
	switch n := len(payload); {
	case n < length16:
		out = append(out, first, byte(n))
	case n <= 0xffff:
		out = binary.BigEndian.AppendUint16(append(out, first, length16), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, first, length64), uint64(n))
	}
	return append(out, payload...)
}

// WriteMessage writes a message in frames of at most frame bytes.
func WriteMessage(to io.Writer, op Op, payload []byte, frame int) error {
	for first := true; first || len(payload) > 0; first = false {
		n := min(len(payload), frame)
		if !first {
			op = Continuation
		}
		if _, err := to.Write(AppendFrame(nil, op, n == len(payload), payload[:n])); err != nil {
			return err //nolint:wrapcheck // the connection's own
		}
		payload = payload[n:]
	}
	return nil
}

// CloseFrame returns a close frame with a status and a reason. A reason that is too long is cut off.
func CloseFrame(status int, reason string) []byte {
	payload := binary.BigEndian.AppendUint16(nil, uint16(status))
	if status == StatusNone || status == StatusAbnormal {
		payload = nil
	} else {
		payload = append(payload, reason[:min(len(reason), mostControl-len(payload))]...)
	}
	return AppendFrame(nil, Close, true, payload)
}
