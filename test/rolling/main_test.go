package rolling_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/test/weirtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		weirtest.Cleanup()
		os.Exit(code)
	}))
}
