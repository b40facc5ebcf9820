package listen_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/config"
)

// engine is what serves HTTP/1.x in these tests. They demand the same of each engine.
var engine = flag.String("engine", string(config.OwnEngine), "the engine: std or own")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
