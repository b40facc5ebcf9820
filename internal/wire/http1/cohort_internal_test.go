package http1

import (
	"bufio"
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRequestsWaitForEachOtherWhereManyAreReadyAndNoneWorksForLong(t *testing.T) {
	for _, test := range []struct {
		name       string
		ready      int
		took       time.Duration
		processors int
		waits      bool
	}{
		{"nobody is ready", 0, time.Microsecond, 1, false},
		{"two on two processors", 2, 10 * time.Microsecond, 2, false},
		{"many who do little", 40, 400 * time.Microsecond, 1, true},
		{"many on few processors, which they share", 40, 900 * time.Microsecond, 2, true},
		{"as many on more processors than that", 40, 400 * time.Microsecond, 32, false},
		{"some of them work for long", 40, 30 * time.Millisecond, 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c cohort
			for range 20 { // what was measured before is forgotten
				c.judge(test.ready, test.took, test.processors, tick)
			}
			if c.forms.Load() != test.waits {
				t.Errorf("they wait: %t", !test.waits)
			}
		})
	}
}

func TestWhetherRequestsWaitDoesNotChangeWithEachLook(t *testing.T) {
	var c cohort
	for range 20 {
		c.judge(40, 400*time.Microsecond, 2, tick)
	}
	c.judge(0, time.Microsecond, 2, tick)
	if !c.forms.Load() {
		t.Error("one look at a moment when nobody was ready has ended it")
	}
	c.judge(40, 30*time.Millisecond, 2, tick)
	if !c.forms.Load() {
		t.Error("one long wait has ended it, as where another process has the processor for a while")
	}
	c.judge(40, 30*time.Millisecond, 2, tick)
	if c.forms.Load() {
		t.Error("two long waits have not ended it")
	}
	for range 20 {
		c.judge(3, 10*time.Microsecond, 2, tick)
	}
	if !c.forms.Load() {
		t.Error("a few are enough to go on")
	}
	for range 20 {
		c.judge(1, 10*time.Microsecond, 2, tick)
	}
	if c.forms.Load() {
		t.Error("it goes on for one")
	}
}

// crowd has many goroutines yield to each other until the test ends, so that the runtime's run queue is full.
func crowd(t *testing.T) {
	t.Helper()
	var ended atomic.Bool
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	t.Cleanup(func() { ended.Store(true) })
	for range 16 * runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for !ended.Load() {
				runtime.Gosched()
			}
		})
	}
}

// formed waits until requests wait for each other.
func formed(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cohorts.forms.Load(); {
		if time.Now().After(deadline) {
			t.Fatal("nobody has seen how many goroutines are ready")
		}
		runtime.Gosched()
	}
	cohorts.forms.Store(false)
}

func TestAServerThatHasSomethingToDoSeesHowManyAreReady(t *testing.T) {
	over := make(chan struct{})
	s := NewServer(ServerOptions{Options: Options{Limits: wideLimits}, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over })})
	client, server := net.Pipe()
	defer client.Close()
	s.Serve(server, time.Time{})
	defer s.Close()
	defer close(over)
	if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	crowd(t)
	formed(t)
}

func TestAClientThatWaitsForSomethingSeesHowManyAreReady(t *testing.T) {
	here, there := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, there) }()
	c := NewClient(ClientOptions{
		Dial:   func(context.Context, string) (net.Conn, error) { return here, nil },
		Limits: Limits{HeadBytes: 1 << 10, HeadFields: 10},
	})
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://a/", http.NoBody)
		_, err := c.RoundTrip(req) //nolint:bodyclose // there is none
		left <- err
	}()
	crowd(t)
	formed(t)
	leave()
	if err := <-left; err == nil {
		t.Error("there was an answer")
	}
	c.CloseIdle()
	_ = there.Close()
}

// If many requests come, that is noticed before the sweep runs. In this test no time passes.
func TestAConnectionLooksAfterSomeRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(ServerOptions{Options: Options{Limits: wideLimits}, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
		s.cohort = newCohort()
		client, server := net.Pipe()
		s.Serve(server, time.Time{})
		answers := bufio.NewReader(client)
		for n := range looksAfter {
			if s.cohort.due.Load() != 0 {
				t.Errorf("it has looked after %d requests", n)
			}
			if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if _, err := http.ReadResponse(answers, nil); err != nil { //nolint:bodyclose // there is none
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if s.cohort.due.Load() == 0 {
			t.Error("it has not looked")
		}
		_ = client.Close()
		s.Close()
	})
}

func TestTheQueueIsNotLookedAtMoreOftenThanNeedBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCohort()
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's time, none of ours
		c.look()
		for _, step := range []struct {
			pause time.Duration
			looks bool
		}{{lookEvery - 1, false}, {1, true}, {lookEvery, true}} {
			time.Sleep(step.pause) //nolint:forbidigo // the bubble's time, none of ours
			before := c.asked
			c.look()
			if looks := c.asked != before; looks != step.looks {
				t.Errorf("at %v it looks: %t", time.Since(c.start), looks)
			}
		}
	})
}

func TestWhatWasSeenCountsLessTheLongerAgoItIs(t *testing.T) {
	var often, seldom cohort
	for range 10 {
		often.judge(40, time.Millisecond, 2, tick/10)
	}
	seldom.judge(40, time.Millisecond, 2, tick)
	if difference := often.ready - seldom.ready; math.Abs(difference) > 1e-9 {
		t.Errorf("ten looks within a tick say %g, and one says %g", often.ready, seldom.ready)
	}
	seldom.judge(0, 0, 2, time.Hour)
	if seldom.ready < 0.7*often.ready {
		t.Errorf("one look after an hour says all: %g", seldom.ready)
	}
}
