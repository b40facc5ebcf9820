package transport

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestHowLongAConnectionMayRest(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"timeout=5": 4 * time.Second, "timeout=5, max=100": 4 * time.Second, "max=3, Timeout=60": 59 * time.Second, "timeout=1": 500 * time.Millisecond, "timeout=0": 0,
		"timeout=": -1, "timeout=x": -1, "timeout=-1": -1, "max=5": -1, "": -1, "timeout=99999999999": -1,
	} {
		got, said := restOf(http.Header{"Keep-Alive": {text}})
		if !said {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if _, said := restOf(http.Header{}); said {
		t.Error("nothing says so")
	}
}

// closes counts calls of Close.
type closes int

func (c *closes) Close() error { *c++; return nil }

func TestAConnectionThatRestsIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rest
		var closed closes
		use := r.taken()
		for range 3 { // each request restarts the rest
			r.begin(use, 2*time.Second, &closed)
			time.Sleep(1500 * time.Millisecond) //nolint:forbidigo // virtual
			before := use
			use = r.taken()
			r.begin(before, time.Second, &closed) // too late: the next request has taken it
			time.Sleep(time.Minute)               //nolint:forbidigo // virtual: a long request
		}
		synctest.Wait()
		if closed != 0 {
			t.Error("it was closed while a request had it")
		}
		r.begin(use, 2*time.Second, &closed)
		time.Sleep(3 * time.Second) //nolint:forbidigo // virtual
		synctest.Wait()             // the timer's own goroutine may still be running
		if closed != 1 {
			t.Errorf("closed %d times", closed)
		}
	})
}
