package config

import (
	"slices"
	"time"
)

// DefaultAdmin is the default address of the operators' API.
const DefaultAdmin = "127.0.0.1:8081"

// DefaultBound is how much of its share an endpoint chosen by hash may have in flight, in percent.
const DefaultBound = 150

// DefaultBalance is the default choice among the endpoints of a service.
func DefaultBalance() *Balance { return &Balance{By: "peak-ewma", SlowStart: 10 * time.Second} }

// DefaultBudget is the default budget for further tries of a service, as in Finagle and Linkerd.
func DefaultBudget() *Budget { return &Budget{Share: 20, Least: 10} }

// DefaultBreaker holds the defaults of a breaker that only says when it opens.
func DefaultBreaker() *Breaker {
	return &Breaker{Window: 10 * time.Second, Least: 20, Pause: 5 * time.Second, Pending: 100, Wait: time.Second}
}

// DefaultLimits are the limits of a config that sets none. MemoryBytes is 0: it is taken from the cgroup.
func DefaultLimits() Limits {
	return Limits{
		HeadBytes: 64 << 10, HeadFields: 100, URLBytes: 16 << 10, BodyBytes: 10_000_000,
		Connections: 20_000, InFlight: 5_000,
		FirstRequest: 10 * time.Second, HeadTime: 10 * time.Second, KeepAlive: 75 * time.Second, BodyRate: 240,
	}
}

// DefaultShutdown is the shutdown of a config that sets none. Kubernetes kills a pod after 30 seconds in all, so with a
// Delay there, terminationGracePeriodSeconds must be higher or Drain lower.
func DefaultShutdown() Shutdown { return Shutdown{Drain: 30 * time.Second} }

// DefaultTimeouts are those of a service that sets none. Long streams and downloads continue for as long as they make
// progress.
func DefaultTimeouts() Timeouts {
	return Timeouts{Connect: 5 * time.Second, Head: 60 * time.Second, Idle: 5 * time.Minute, Total: NoTimeout}
}

// DefaultRetry is the default of routes and services: two further tries after a failed connection. No response counts
// as a failure, and neither does a response that does not arrive in time: a client that has waited for
// DefaultTimeouts().Head once should not wait three times for the same work.
func DefaultRetry() *Retry { return &Retry{Attempts: 2} }

// Or fills every timeout that t leaves open from further. A route's timeouts are completed by its service's, and those
// by DefaultTimeouts.
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

// retryStatuses are the responses that count as failures with `retry: 2`. They come from a gateway or server that is
// unable to serve at the moment (RFC 9110 section 15.6).
func retryStatuses() []int { return []int{502, 503, 504} }

// balances are the known methods of choosing an endpoint.
func balances() []string {
	return []string{"peak-ewma", "least-requests", "round-robin", "random", byHash}
}

// protocols are the protocols for connections to endpoints.
func protocols() []string { return []string{"http", "h2c", "h2", "grpc"} }

// announcements are the versions of the PROXY protocol.
func announcements() []string { return []string{"v1", "v2"} }

func listenerProtocols() []Protocol { return []Protocol{HTTP, HTTPS, TLS, TCP, UDP} }

// serves reports whether routes may attach to a listener of protocol p.
func (p Protocol) serves() bool { return p == HTTP || p == HTTPS }

func words[S ~string](list []S) []string {
	made := make([]string, len(list))
	for i, w := range list {
		made[i] = string(w)
	}
	slices.Sort(made)
	return made
}
