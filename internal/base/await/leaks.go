package await

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Leaving gives the tests of a package to goleak.VerifyTestMain, and what they have started the time to
// end that it takes on a busy machine: goleak itself looks for less than half a second. What stays is
// left for it to tell. Of ignored goroutines goleak is to be told too.
func Leaving(m *testing.M, ignored ...goleak.Option) goleak.TestingM { return leaving{m, ignored} }

type leaving struct {
	tests   *testing.M
	ignored []goleak.Option
}

// Run implements goleak.TestingM.
func (l leaving) Run() int {
	code := l.tests.Run()
	for began := time.Now(); code == 0 && goleak.Find(l.ignored...) != nil && time.Since(began) < Patience; {
	}
	return code
}
