package telemetryapi

import (
	"bytes"
	"encoding/json"
	"math"
	"time"
)

// schema is how records are written, from the oldest on.
type schema int

const (
	logs2020 schema = iota
	logs2021
	telemetry202207
	telemetry202212
	telemetry202501
)

// api is the API that has a schema.
func (s schema) api() API {
	if s <= logs2021 {
		return Logs
	}
	return Telemetry
}

// The streams to which one may subscribe.
const (
	platformStream  = "platform"
	functionStream  = "function"
	extensionStream = "extension"
)

// event is something that has happened. record gives how a schema tells it, and nil
// where that one knows no such event.
type event struct {
	at     time.Time
	stream string
	kind   string
	record func(schema) any
}

// encode gives the event as a line of JSON without an end, nil where there is nothing to tell.
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
		return nil // a line that began like JSON and is none was found before
	}
	return bytes.TrimSuffix(out.Bytes(), []byte{'\n'})
}

// always tells the same in every schema.
func always(record any) func(schema) any { return func(schema) any { return record } }

// inTelemetry tells record to those who use the Telemetry API.
func inTelemetry(record any) func(schema) any { return only(Telemetry, record) }

// inLogs tells record to those who use the Logs API.
func inLogs(record any) func(schema) any { return only(Logs, record) }

func only(api API, record any) func(schema) any {
	return func(s schema) any {
		if s.api() != api {
			return nil
		}
		return record
	}
}

// Those who read a record find only what its schema names: what is empty is left out.
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

// milliseconds are written with three digits of a fraction at most.
type milliseconds float64

func inMilliseconds(d time.Duration) milliseconds {
	return milliseconds(math.Round(float64(d.Microseconds())) / 1000)
}

func newSpan(name string, from, to time.Time) span {
	return span{name, from.UTC().Format("2006-01-02T15:04:05.000Z"), inMilliseconds(to.Sub(from))}
}
