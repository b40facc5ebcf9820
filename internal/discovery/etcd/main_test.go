package etcd

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
)

func TestMain(m *testing.M) {
	ignored := []goleak.Option{goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"), goleak.IgnoreTopFunction("internal/poll.runtime_pollWait")} // of http.DefaultClient
	goleak.VerifyTestMain(await.Leaving(m, ignored...), ignored...)
}
