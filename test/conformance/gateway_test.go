package conformance

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/config"
)

// Gateway is Weir as the controller drives it.
type Gateway interface {
	// Apply makes cfg serve, on the addresses of its sockets; it serves once Apply returns.
	Apply(cfg *config.Config) error
}

// weir is the program itself, except for the part that reads files.
type weir struct{ app *app.App }

// newGateway starts the gateway that the tests run against and ends it with t.
func newGateway(t *testing.T) Gateway {
	t.Helper()
	a := app.New(app.Options{
		Log:   slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		Parts: app.Parts(),
		Drain: time.Second,
	})
	t.Cleanup(a.Stop)
	return weir{a}
}

func (w weir) Apply(cfg *config.Config) error {
	cfg.Limits = config.DefaultLimits()
	report, err := w.app.Reconciler().Apply(cfg, "")
	if err != nil {
		return fmt.Errorf("%w: %v", err, report.Problems)
	}
	return nil
}
