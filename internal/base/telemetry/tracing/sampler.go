package tracing

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// sampler decides whether the spans of a trace are recorded. A trace is always continued, but its sampling flag is
// believed only if it comes from a client that the config trusts: each recorded span has a cost, and otherwise every
// client could have all of its own spans recorded.
type sampler struct {
	share   float64 // of traces that begin here, and of those whose sampling flag is not believed
	parent  bool    // a sampling flag that is believed overrides share
	believe string
}

// newSampler reads the settings of sampling.
func newSampler(o Options) (*sampler, error) {
	s := &sampler{share: 1, parent: true, believe: o.Believe}
	if s.believe == "" {
		s.believe = BelieveProxies
	}
	if o.Sample != nil {
		s.share = *o.Sample
		return s, nil
	}
	name := strings.ToLower(strings.TrimSpace(o.Getenv("OTEL_TRACES_SAMPLER")))
	name, s.parent = strings.CutPrefix(name, "parentbased_")
	switch name {
	case "":
		s.parent = true
	case "always_on":
	case "always_off":
		s.share = 0
	case "traceidratio":
		if arg := strings.TrimSpace(o.Getenv("OTEL_TRACES_SAMPLER_ARG")); arg != "" {
			share, err := strconv.ParseFloat(arg, 64)
			if err != nil || share < 0 || share > 1 {
				return nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG is %q; write a share from 0 to 1", arg)
			}
			s.share = share
		}
	default:
		return nil, fmt.Errorf("OTEL_TRACES_SAMPLER is %q; known are always_on, always_off and traceidratio, each with parentbased_ before it or not", name)
	}
	return s, nil
}

// ShouldSample implements sdk.Sampler.
func (s *sampler) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	var record bool
	switch {
	case parent.IsValid() && (!parent.IsRemote() || s.parent && s.believes(p)):
		record = parent.IsSampled()
	case parent.IsValid():
		record = rand.Float64() < s.share //nolint:gosec // the trace's id is its client's choice, chance is not
	default:
		record = sdk.TraceIDRatioBased(s.share).ShouldSample(p).Decision == sdk.RecordAndSample
	}
	result := sdk.SamplingResult{Decision: sdk.Drop, Tracestate: parent.TraceState()}
	if record {
		result.Decision = sdk.RecordAndSample
	}
	return result
}

func (s *sampler) believes(p sdk.SamplingParameters) bool {
	switch s.believe {
	case BelieveEveryone:
		return true
	case BelieveNobody:
		return false
	}
	x := exchange.From(p.ParentContext)
	return x != nil && x.Client.Trusted
}

// Description implements sdk.Sampler.
func (s *sampler) Description() string {
	return fmt.Sprintf("Weir{%g of new traces, believing %s}", s.share, s.believe)
}
