package process

import (
	"strings"
	"testing"
)

// What is dropped of a long line is read in pieces; a carriage return may be at the end of one, and be no line ending.
func TestACarriageReturnWithinALineIsCounted(t *testing.T) {
	for dropped, want := range map[string]int{
		strings.Repeat("x", MaxLine-1) + "\rend\n": MaxLine + len("end"),
		"x\r\n": 1,
		"x\n":   1,
		"x":     1,
	} {
		var lines []Line
		readLines(strings.NewReader(strings.Repeat("x", MaxLine)+dropped), "1", Stdout, func(l Line) { lines = append(lines, l) })
		if len(lines) != 1 || len(lines[0].Text) != MaxLine || lines[0].Cut != want {
			t.Errorf("%d lines, the first with %d bytes missing, want %d", len(lines), lines[0].Cut, want)
		}
	}
}
