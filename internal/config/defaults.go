package config

import (
	"slices"
	"time"
)

// DefaultAdmin is where the operators' API listens unless told otherwise.
const DefaultAdmin = "127.0.0.1:8081"

// DefaultBound is how much of its share an endpoint may have in flight that is chosen by a hash.
const DefaultBound = 150

// DefaultBalance is how a service chooses among its endpoints unless told otherwise.
func DefaultBalance() *Balance { return &Balance{By: "peak-ewma", SlowStart: 10 * time.Second} }

// DefaultBudget are the further tries that a service has unless told otherwise: those of
// Finagle and Linkerd.
func DefaultBudget() *Budget { return &Budget{Share: 20, Least: 10} }

// DefaultBreaker is what a breaker has that says no more than when it breaks.
func DefaultBreaker() *Breaker {
	return &Breaker{Window: 10 * time.Second, Least: 20, Pause: 5 * time.Second, Pending: 100, Wait: time.Second}
}

// DefaultLimits are the limits of a config that names none. MemoryBytes is 0:
// it is taken from the cgroup.
func DefaultLimits() Limits {
	return Limits{
		HeadBytes: 64 << 10, HeadFields: 100, URLBytes: 16 << 10, BodyBytes: 10_000_000,
		Connections: 20_000, InFlight: 5_000,
		FirstRequest: 10 * time.Second, HeadTime: 10 * time.Second, KeepAlive: 75 * time.Second, BodyRate: 240,
	}
}

// DefaultShutdown is how a gateway ends whose config does not say. Kubernetes
// kills after 30 seconds in all, so that who sets a Delay there raises its
// terminationGracePeriodSeconds or lowers Drain.
func DefaultShutdown() Shutdown { return Shutdown{Drain: 30 * time.Second} }

// DefaultTimeouts are those of a service that names none: long streams and
// downloads go on for as long as they move.
func DefaultTimeouts() Timeouts {
	return Timeouts{Connect: 5 * time.Second, Head: 60 * time.Second, Idle: 5 * time.Minute, Total: NoTimeout}
}

// DefaultRetry is that of a route and service that name none: two further tries
// where a connection failed. No response counts as a failure, and so a response
// that does not come in time does not either: who waited DefaultTimeouts().Head
// once should not wait three times for the same work.
func DefaultRetry() *Retry { return &Retry{Attempts: 2} }

// Or fills every time-out that t leaves open from further; a route's are
// completed by its service's, and those by DefaultTimeouts.
func (t Timeouts) Or(further Timeouts) Timeouts {
	for _, f := range []struct {
		into *time.Duration
		from time.Duration
	}{{&t.Connect, further.Connect}, {&t.Head, further.Head}, {&t.Idle, further.Idle}, {&t.Total, further.Total}} {
		if *f.into == 0 {
			*f.into = f.from
		}
	}
	return t
}

// retryStatuses are the responses that `retry: 2` counts as failures: those of a
// gateway or server that could not serve just now (RFC 9110 section 15.6).
func retryStatuses() []int { return []int{502, 503, 504} }

// balances are the known ways to choose an endpoint.
func balances() []string {
	return []string{"peak-ewma", "least-requests", "round-robin", "random", byHash}
}

// protocols are what may be spoken with endpoints.
func protocols() []string { return []string{"http", "h2c", "h2", "grpc"} }

// announcements are the versions of the PROXY protocol.
func announcements() []string { return []string{"v1", "v2"} }

func listenerProtocols() []Protocol { return []Protocol{HTTP, HTTPS, TLS, TCP, UDP} }

// serves tells whether routes may attach to a listener of protocol p.
func (p Protocol) serves() bool { return p == HTTP || p == HTTPS }

func words[S ~string](list []S) []string {
	made := make([]string, len(list))
	for i, w := range list {
		made[i] = string(w)
	}
	slices.Sort(made)
	return made
}
