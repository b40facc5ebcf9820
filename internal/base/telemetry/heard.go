package telemetry

import "time"

// Heard is how things stand with what a source outside tells: the keys of an issuer, the
// endpoints of a service.
type Heard struct {
	Kind      string // "keys" or "endpoints"
	Of        string // the issuer, the service
	Count     int
	Confirmed time.Time // when the source said so last, maybe before the start; zero: never
	// Kept tells that it is of before the start, and was not confirmed since.
	Kept  bool
	Until time.Time // when it counts no longer unless it is confirmed; zero: nothing says so
	Err   error     // why the source could not be asked the last time; nil: it could
}
