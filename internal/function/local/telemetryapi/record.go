package telemetryapi

import (
	"bytes"
	"encoding/json"
	"math"
	"time"
)

// schema is a version of the records' format, in order from the oldest.
type schema int

const (
	logs2020 schema = iota
	logs2021
	telemetry202207
	telemetry202212
	telemetry202501
)

// api returns the API that has the schema.
func (s schema) api() API {
	if s <= logs2021 {
		return Logs
	}
	return Telemetry
}

// The streams to which an extension may subscribe.
const (
	platformStream  = "platform"
	functionStream  = "function"
	extensionStream = "extension"
)

// event is something that has happened. record returns how a schema reports it, nil if the schema has no such event.
type event struct {
	at     time.Time
	stream string
	kind   string
	record func(schema) any
}

// encode returns the event as a line of JSON without a line end, nil if there is nothing to report.
func (e *event) encode(s schema) []byte {
	record := e.record(s)
	if record == nil {
		return nil
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(struct {
		Time   string `json:"time"`
		Type   string `json:"type"`
		Record any    `json:"record"`
	}{e.at.UTC().Format("2006-01-02T15:04:05.000Z"), e.kind, record}) != nil {
		return nil // does not happen: Feed.line passes on as JSON only lines that are valid JSON
	}
	return bytes.TrimSuffix(out.Bytes(), []byte{'\n'})
}

// always makes the same record for every schema.
func always(record any) func(schema) any { return func(schema) any { return record } }

// inTelemetry makes a record for subscribers of the Telemetry API only.
func inTelemetry(record any) func(schema) any { return only(Telemetry, record) }

// inLogs makes a record for subscribers of the Logs API only.
func inLogs(record any) func(schema) any { return only(Logs, record) }

func only(api API, record any) func(schema) any {
	return func(s schema) any {
		if s.api() != api {
			return nil
		}
		return record
	}
}

// The records. They have only what a schema names: empty values are left out.
type (
	initStart struct {
		Type      string `json:"initializationType"`
		Phase     string `json:"phase"`
		Function  string `json:"functionName,omitempty"`
		Version   string `json:"functionVersion,omitempty"`
		MaxMemory int64  `json:"instanceMaxMemory,omitempty"`
	}
	initDone struct {
		Type      string `json:"initializationType,omitempty"`
		Phase     string `json:"phase,omitempty"`
		Status    string `json:"status"`
		ErrorType string `json:"errorType,omitempty"`
		Metrics   *times `json:"metrics,omitempty"`
	}
	times struct {
		Duration milliseconds `json:"durationMs"`
		Produced *int64       `json:"producedBytes,omitempty"`
	}
	start struct {
		ID      string   `json:"requestId"`
		Version string   `json:"version"`
		Tracing *tracing `json:"tracing,omitempty"`
	}
	runtimeDone struct {
		ID        string   `json:"requestId"`
		Status    string   `json:"status"`
		ErrorType string   `json:"errorType,omitempty"`
		Metrics   *times   `json:"metrics,omitempty"`
		Tracing   *tracing `json:"tracing,omitempty"`
		Spans     []span   `json:"spans,omitempty"`
	}
	end struct {
		ID string `json:"requestId"`
	}
	report struct {
		ID        string   `json:"requestId"`
		Status    string   `json:"status,omitempty"`
		ErrorType string   `json:"errorType,omitempty"`
		Metrics   usage    `json:"metrics"`
		Tracing   *tracing `json:"tracing,omitempty"`
		Spans     []span   `json:"spans,omitempty"`
	}
	usage struct {
		Duration  milliseconds  `json:"durationMs"`
		Billed    int64         `json:"billedDurationMs"`
		Memory    int64         `json:"memorySizeMB"`
		MaxMemory int64         `json:"maxMemoryUsedMB"`
		Init      *milliseconds `json:"initDurationMs,omitempty"`
	}
	tracing struct {
		Type  string `json:"type"`
		Value string `json:"value"`
	}
	span struct {
		Name     string       `json:"name"`
		Start    string       `json:"start"`
		Duration milliseconds `json:"durationMs"`
	}
	ready struct {
		Name   string   `json:"name"`
		State  string   `json:"state"`
		Events []string `json:"events"`
	}
	subscribed struct {
		Name  string   `json:"name"`
		State string   `json:"state"`
		Types []string `json:"types"`
	}
	dropped struct {
		Reason  string `json:"reason"`
		Records int    `json:"droppedRecords"`
		Bytes   int    `json:"droppedBytes"`
	}
)

// milliseconds are written with at most three digits after the decimal point.
type milliseconds float64

func inMilliseconds(d time.Duration) milliseconds {
	return milliseconds(math.Round(float64(d.Microseconds())) / 1000)
}

func newSpan(name string, from, to time.Time) span {
	return span{name, from.UTC().Format("2006-01-02T15:04:05.000Z"), inMilliseconds(to.Sub(from))}
}
