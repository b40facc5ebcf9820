package proxy

import (
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/config"
)

// told returns an expirer, and a channel that receives what it is told.
func told() (expirer, <-chan error) {
	causes := make(chan error, 9)
	return expiring(func(cause error) { causes <- cause }), causes
}

func TestAWatchHoldsItsTimesInEachExchange(t *testing.T) {
	var w watch
	for range 3 {
		e, causes := told()
		w.start(config.Timeouts{Idle: time.Hour, Total: time.Hour}, e)
		w.begin()
		w.done()
		w.begin()
		w.stop()
		if len(causes) > 0 || !w.again() {
			t.Fatalf("%d times were up; it is used again: %t", len(causes), !w.fired)
		}
	}
	e, causes := told()
	w.start(config.Timeouts{Idle: time.Millisecond}, e)
	w.begin()
	if cause := await.From(t, "the end of the idle time", causes); cause != errIdle { //nolint:errorlint // the very value
		t.Error(cause)
	}
	if w.stop(); w.again() {
		t.Error("it is used again, though its timer has fired")
	}
}

func TestAWatchLeavesNoTimerBehind(t *testing.T) {
	var w watch
	e, causes := told()
	w.start(config.Timeouts{Idle: time.Hour, Total: time.Millisecond}, e)
	w.begin()
	if cause := await.From(t, "the end of the whole time", causes); cause != errTotal { //nolint:errorlint // the very value
		t.Error(cause)
	}
	if w.stop(); w.timer.Stop() {
		t.Error("the timer of its content goes on")
	}
}

// The timer's function may be about to run when the next body begins.
func TestAWatchKnowsOfATimerThatFiredBetweenTwoBodies(t *testing.T) {
	var w watch
	e, _ := told()
	w.start(config.Timeouts{Idle: time.Hour}, e)
	w.begin()
	w.done()
	over := make(chan struct{})
	w.timer = time.AfterFunc(0, func() { close(over) }) // as if the timer had fired
	<-over
	w.begin()
	if w.stop(); w.again() {
		t.Error("it is used again, though its timer has fired")
	}
}
