package telemetry

import "time"

// Heard is the state of something that a source outside provides: the keys of an issuer, the endpoints of a service.
type Heard struct {
	Kind      string // "keys" or "endpoints"
	Of        string // the issuer or the service
	Count     int
	Confirmed time.Time // when the source last confirmed it, maybe before the start; zero: never
	// Kept means that it dates from before the start, and was not confirmed since.
	Kept  bool
	Until time.Time // when it expires unless it is confirmed; zero: unknown
	Err   error     // why the source could not be asked the last time; nil: it could
}
