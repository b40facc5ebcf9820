package process

import (
	"maps"
	"testing"
)

func TestNoteKeepsTheSetOfGroups(t *testing.T) {
	groups := map[int]bool{}
	for _, line := range []string{"+10", "+11", "-10", "", "+", "-", "+x", "+1", "+0", "+-5", "12", "-99", "+1", "+13"} {
		note(groups, line)
	}
	if want := map[int]bool{11: true, 13: true}; !maps.Equal(groups, want) {
		t.Errorf("the groups are %v, want %v", groups, want)
	}
}

func FuzzNoteNeverNamesEverybody(f *testing.F) {
	for _, seed := range []string{"+10", "-10", "+-1", "+1", "+0", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		groups := map[int]bool{}
		note(groups, line)
		for id := range groups {
			if id <= 1 { // kill(-1) and kill(0) reach beyond a group
				t.Errorf("%q makes the guard kill %d", line, -id)
			}
		}
	})
}
