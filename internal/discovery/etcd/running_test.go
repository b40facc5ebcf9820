package etcd

import (
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery/discoverytest"
)

func opened(t testing.TB, text string) *source {
	t.Helper()
	c, ps := settings(text)
	return discoverytest.Open(t, open, c, ps).(*source)
}

func at(t testing.TB, servers ...string) *source {
	t.Helper()
	return opened(t, "servers: [http://"+strings.Join(servers, ", http://")+"]\n")
}

func run(t testing.TB, s *source, name string) *discoverytest.Running {
	t.Helper()
	return discoverytest.Run(t, s, config.Ref{Scheme: scheme, Rest: name})
}
