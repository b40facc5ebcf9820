package process

import (
	"encoding/binary"
	"fmt"
	"testing"
)

func TestLinesOfTheKernelsTables(t *testing.T) {
	word := func(a, b, c, d byte) string {
		return fmt.Sprintf("%08X", binary.NativeEndian.Uint32([]byte{a, b, c, d}))
	}
	const rest = " 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0"
	for line, want := range map[string]string{
		"0: " + word(127, 0, 0, 1) + ":1F90" + rest:                                                             "127.0.0.1:8080",
		"1: " + word(0, 0, 0, 0) + word(0, 0, 0, 0) + word(0, 0, 0, 0) + word(0, 0, 0, 1) + ":0050" + rest:      "[::1]:80",
		"2: " + word(0, 0, 0, 0) + word(0, 0, 0, 0) + word(0, 0, 255, 255) + word(10, 0, 0, 1) + ":0050" + rest: "[::ffff:10.0.0.1]:80",
	} {
		at, inode, listens := parseSocket(line)
		if at.String() != want || inode != "4711" || !listens {
			t.Errorf("%s: %s, %s, %v", line, at, inode, listens)
		}
	}
	for _, line := range []string{
		"", "sl local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode",
		"0: " + word(127, 0, 0, 1) + ":1F90 00000000:0000 01 00000000:00000000 00:00000000 00000000 0 0 4711 1", // established
		"0: XX:1F90" + rest, "0: 00:1F90" + rest, "0: 0100007F" + rest,
	} {
		if at, _, listens := parseSocket(line); listens {
			t.Errorf("%q listens at %s", line, at)
		}
	}
}
