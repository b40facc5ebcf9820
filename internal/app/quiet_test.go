package app

import (
	"runtime"
	"testing"
)

func TestMemoryIsGivenBackWhenABusyTimeIsOver(t *testing.T) {
	const mega = 1 << 20
	now, gives := allocation{held: 64 * mega}, 0
	q := quiet{read: func() allocation { return now }, give: func() { gives++ }}
	for _, step := range []struct {
		name      string
		allocates uint64 // since the step before
		want      int    // how often it was given back by then
	}{
		{"a start that took little", 10 * mega, 0},
		{"nothing", 0, 0},
		{"a busy time", 500 * mega, 0},
		{"it goes on", 3 * mega, 0},
		{"it is over", mega, 1},
		{"nothing more", 0, 1},
		{"what an idle process does", mega, 1},
		{"a short busy time", 20 * mega, 1},
		{"that was not worth it", 0, 1},
		{"another one", 20 * mega, 1},
		{"together they are", 0, 2},
	} {
		now.ever += step.allocates
		if q.look(); gives != step.want {
			t.Errorf("%s: given back %d times, want %d", step.name, gives, step.want)
		}
	}
}

func TestLargeProcessesMustHaveBeenBusyForLonger(t *testing.T) {
	now, gives := allocation{held: 4 << 30}, 0
	q := quiet{read: func() allocation { return now }, give: func() { gives++ }}
	for want := range 3 {
		for gives == want {
			now.ever += 100 << 20 // a 40th of it
			q.look()
		}
		if share := now.ever / uint64(gives); share < now.held/2 {
			t.Errorf("given back after %d bytes", share)
		}
	}
}

func TestTheRuntimeTellsWhatIsAllocated(t *testing.T) {
	read := readAllocation()
	before := read()
	kept := make([]byte, 8<<20)
	after := read()
	runtime.KeepAlive(kept)
	if before.held == 0 || after.ever-before.ever < uint64(len(kept)) {
		t.Errorf("%+v, then %+v", before, after)
	}
}
