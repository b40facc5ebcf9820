package compile

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/base/telemetry/accesslog"
	"github.com/weir-gateway/weir/internal/base/telemetry/tracing"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// AccessLog holds the outputs of access logs that do not go to a file.
type AccessLog struct {
	Stdout, Stderr io.Writer
	// Format is the format on Stderr if the config names none. Level is the lowest level that is written there, because
	// the program's own log goes there, too.
	Format string
	Level  slog.Leveler
	Counts *accesslog.Counts
}

// telemetry builds the access log, the tracer and the scrape settings.
func (b *build) telemetry(s *snapshot.Snapshot) {
	s.Scrape = b.scrape()
	if log := b.cfg.Telemetry.AccessLog.OrDefault(); log.To != config.Off && b.start {
		s.AccessLog = b.accessLog(log)
	}
	if b.start {
		s.Tracer = b.tracer()
	}
}

// Traces holds what a tracer needs that is not part of a config.
type Traces struct {
	Version string
	Getenv  func(string) string // nil: there are no traces
	Counts  *tracing.Counts
}

// tracer makes the tracer, or keeps the one with the same settings.
func (b *build) tracer() *tracing.Tracer {
	c, env := b.cfg.Telemetry.Traces, b.compiler.options.Traces
	if env.Getenv == nil {
		return nil
	}
	o := tracing.Options{
		To: c.To, Headers: map[string]string{}, Service: c.Service, Sample: c.Sample, Believe: c.Believe,
		Version: env.Version, Getenv: env.Getenv, ReadFile: os.ReadFile,
	}
	for name, header := range c.Headers {
		value, err := b.compiler.options.Secret(header.Template)
		if err != nil {
			b.problems.Errorf(header.Pos, "telemetry.traces.headers.%s: %v", name, err)
			return nil
		}
		o.Headers[name] = value.Reveal()
	}
	if !o.Wanted() {
		return nil
	}
	share := -1.0 // none
	if c.Sample != nil {
		share = *c.Sample
	}
	identity := fmt.Sprintf("tracer %q %q %g %q %x", c.To, c.Service, share, c.Believe, sha256.Sum256(fmt.Appendf(nil, "%q", o.Headers)))
	tracer, err := keep(b, identity, always, func() (*tracing.Tracer, func(context.Context), error) {
		made, err := tracing.New(o, env.Counts, b.compiler.options.Log)
		if err != nil {
			return nil, nil, err
		}
		return made, made.Close, nil
	})
	if err != nil {
		b.problems.Errorf(c.Pos, "traces: %v", err)
	}
	return tracer
}

func (b *build) scrape() snapshot.Scrape {
	m := b.cfg.Telemetry.Metrics
	if m.Token == nil {
		return snapshot.Scrape{Open: m.Open}
	}
	token, err := b.compiler.options.Secret(m.Token.Template)
	switch {
	case err != nil:
		b.problems.Errorf(m.Token.Pos, "telemetry.metrics.token: %v", err)
	case token.Empty():
		b.problems.Errorf(m.Token.Pos, "telemetry.metrics.token is empty")
		token = secret.Value{}
	}
	return snapshot.Scrape{Open: m.Open, Token: token}
}

// accessLog opens the log, or keeps the one with the same settings. It is nil if the log cannot be opened or has no
// output.
func (b *build) accessLog(c config.AccessLog) *accesslog.Log {
	env := b.compiler.options.AccessLog
	o := accesslog.Options{
		Format: c.Format, Fields: c.Fields, RequestHeaders: c.Headers, ResponseHeaders: c.ResponseHeaders,
		Sample: c.Sample, Counts: env.Counts, Log: b.compiler.options.Log,
	}
	switch c.To {
	case config.ToStderr:
		o.Out, o.Level, o.Format = env.Stderr, env.Level, cmp.Or(c.Format, env.Format)
	case config.ToStdout:
		o.Out = env.Stdout
	default:
		o.Path = c.To
	}
	if o.Out == nil && o.Path == "" {
		return nil
	}
	identity := fmt.Sprintf("access log %q %q %q %q %q %g", c.To, o.Format, c.Fields, c.Headers, c.ResponseHeaders, c.Sample)
	log, err := keep(b, identity, always, func() (*accesslog.Log, func(context.Context), error) {
		opened, err := accesslog.Open(o)
		if err != nil {
			return nil, nil, err
		}
		return opened, opened.Close, nil
	})
	if err != nil {
		b.problems.Errorf(c.Pos, "%v", err)
	}
	return log
}
