package local

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/process"
)

func TestOutputIsBoundedInRate(t *testing.T) {
	const perSecond, seconds, size = 100_000, 10, 100
	var o outputRate
	now, passed, told, tellings := time.Now(), 0, 0, 0
	for range seconds {
		for range perSecond {
			now = now.Add(time.Second / perSecond)
			ok, dropped := o.admit(size, now)
			told += dropped
			if ok {
				passed++
			}
			if dropped > 0 {
				tellings++
			}
		}
	}
	told += o.rest()
	const most = (outputBurst + seconds*outputPerSecond) / (size + lineCosts)
	if passed > most || passed < most*9/10 {
		t.Errorf("%d lines passed, and %d fit", passed, most)
	}
	if passed+told != perSecond*seconds {
		t.Errorf("%d passed and %d were told to be dropped, of %d", passed, told, perSecond*seconds)
	}
	if tellings > 3*seconds {
		t.Errorf("it was told %d times", tellings)
	}
	if ok, _ := o.admit(size, now.Add(time.Hour)); !ok || o.rest() != 0 {
		t.Error("after a quiet time it does not pass")
	}
}

// In a bubble no time passes in which the log could take more.
func TestAFloodOfOutputIsCutAndTold(t *testing.T) { synctest.Test(t, floodIsCutAndTold) }

func floodIsCutAndTold(t *testing.T) {
	t.Helper()
	var log records
	i := newInstance(nil, slog.New(slog.NewJSONHandler(&log, nil)))
	flood := &flood{done: make(chan struct{})}
	i.link, i.body, i.name = flood, flood, "orders#1"
	const lines = 50_000
	for range lines {
		i.line(process.Line{Process: "1", Text: []byte("y")})
	}
	close(flood.done)
	i.watch()
	passed, told := len(log.find("y")), 0
	for _, record := range log.find("lines of output were dropped: the instance puts out more than the log takes") {
		n, _ := record["lines"].(float64)
		told += int(n)
	}
	if passed != outputBurst/(lineCosts+1) || passed+told != lines {
		t.Errorf("%d lines of %d are in the log, and %d are told to be dropped", passed, lines, told)
	}
	if !strings.HasSuffix(i.lastWords(), "\ny") {
		t.Errorf("its last words are %q", i.lastWords())
	}
}

// flood is a body that puts out much, and its link.
type flood struct {
	body
	link

	done chan struct{}
}

func (f *flood) Done() <-chan struct{} { return f.done }
func (*flood) Exit() string            { return "exit status 1" }
func (*flood) close(error)             {}
