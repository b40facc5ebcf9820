package tracing

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Whose sampling flags are believed.
const (
	BelieveProxies  = "proxies" // trusted proxies; the default
	BelieveEveryone = "everyone"
	BelieveNobody   = "nobody"
)

// Believes are all of them.
func Believes() []string { return []string{BelieveProxies, BelieveEveryone, BelieveNobody} }

// Off is the endpoint that disables tracing.
const Off = "off"

// Options are the settings of a config. What they leave open is taken from the
// environment, and then from OpenTelemetry's defaults.
type Options struct {
	To      string            // the collector's URL, to which /v1/traces is added; "": the environment's, Off: send nothing
	Headers map[string]string // sent with each request, such as the collector's credentials
	Service string            // the name of this service
	Sample  *float64          // the share of traces that begin here, 0 to 1; nil: the environment's
	Believe string            // "" means BelieveProxies
	Version string            // of this program
	Getenv  func(string) string
	// ReadFile reads the certificates that the environment names.
	ReadFile func(string) ([]byte, error)
}

const (
	defaultTimeout = 10 * time.Second
	signalPath     = "/v1/traces"
)

// variable returns the value of the variable for traces, or else that of the variable for all signals.
func (o Options) variable(name string) string {
	if v := strings.TrimSpace(o.Getenv("OTEL_EXPORTER_OTLP_TRACES_" + name)); v != "" {
		return v
	}
	return strings.TrimSpace(o.Getenv("OTEL_EXPORTER_OTLP_" + name))
}

// Wanted reports whether any setting says where traces go.
func (o Options) Wanted() bool {
	disabled, _ := strconv.ParseBool(o.Getenv("OTEL_SDK_DISABLED")) // by the specification, any other value is false
	exporter := o.Getenv("OTEL_TRACES_EXPORTER")
	switch {
	case o.To == Off || disabled:
		return false
	case o.To != "":
		return true
	case exporter != "" && exporter != "otlp":
		return false
	}
	return o.variable("ENDPOINT") != ""
}

// endpoint returns the URL that spans are sent to. The environment's endpoint for traces is used as it is; the path for
// traces is appended to the others.
func (o Options) endpoint() (string, error) {
	text, whole := o.To, false
	if text == "" {
		text = strings.TrimSpace(o.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
		whole = text != ""
	}
	if text == "" {
		text = strings.TrimSpace(o.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", fmt.Errorf("the endpoint of traces: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", fmt.Errorf("the endpoint of traces is %q; write a URL such as http://localhost:4318", text)
	}
	if !whole {
		u.Path = strings.TrimSuffix(u.Path, "/") + signalPath
	}
	return u.String(), nil
}

// headers returns the environment's headers, overridden by the config's.
func (o Options) headers() (map[string]string, error) {
	all := map[string]string{}
	for pair := range strings.SplitSeq(o.variable("HEADERS"), ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, errors.New("OTEL_EXPORTER_OTLP_HEADERS holds a part without =; it is a list of name=value")
		}
		decoded, err := url.PathUnescape(strings.TrimSpace(value))
		if err != nil {
			return nil, errors.New("OTEL_EXPORTER_OTLP_HEADERS holds a value that is not percent-encoded as it should be")
		}
		all[strings.TrimSpace(name)] = decoded
	}
	maps.Copy(all, o.Headers)
	return all, nil
}

// check refuses settings of the environment that are not supported.
func (o Options) check() error {
	if p := o.variable("PROTOCOL"); p != "" && p != "http/protobuf" {
		return fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q; traces are sent by http/protobuf, which collectors take on port 4318", p)
	}
	if c := o.variable("COMPRESSION"); c != "" && c != "gzip" && c != "none" {
		return fmt.Errorf("OTEL_EXPORTER_OTLP_COMPRESSION is %q; write gzip or none", c)
	}
	return nil
}

func (o Options) timeout() time.Duration {
	if ms, err := strconv.Atoi(o.variable("TIMEOUT")); err == nil && ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	return defaultTimeout
}
