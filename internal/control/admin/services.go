package admin

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// serviceStatus is a service as operators see it.
type serviceStatus struct {
	Name      string       `json:"name"`
	Source    string       `json:"source,omitempty"` // omitted: the config names the endpoints
	Asks      service.Mode `json:"asks"`
	Asked     int          `json:"asked"`            // endpoints that may be asked
	Waiting   int64        `json:"waiting"`          // requests that wait for an endpoint
	Queued    int64        `json:"queued,omitempty"` // requests that wait for room
	Resting   bool         `json:"breaker_open,omitempty"`
	Heard     *heard       `json:"heard,omitempty"`
	Endpoints []endpoint   `json:"endpoints"`
}

// endpoint is an endpoint of a service.
type endpoint struct {
	Address  string        `json:"address"`
	ID       string        `json:"id,omitempty"`
	Node     string        `json:"node,omitempty"`
	Zone     string        `json:"zone,omitempty"`
	Weight   int           `json:"weight"`
	State    service.State `json:"state"`
	Asked    bool          `json:"asked"`
	Why      string        `json:"why,omitempty"` // the present or last reason against asking it
	Since    time.Time     `json:"since"`
	Checked  time.Time     `json:"checked,omitzero"`
	Ejected  time.Time     `json:"ejected_until,omitzero"`
	Proving  bool          `json:"proving,omitempty"` // the next request shows whether it works again
	InFlight int64         `json:"in_flight"`
	// LatencyMS is how long its latest answers took, in milliseconds; 0: there were none.
	LatencyMS float64 `json:"latency_ms"`
	// PenaltyMS is the latency that the balance uses instead because the endpoint failed recently; 0: it has not.
	PenaltyMS float64 `json:"penalty_ms,omitempty"`
	// Started is its present share of the requests that it will get once it has warmed up.
	Started float64 `json:"started"`
	// Near means that the endpoint is preferred: it is in the gateway's own zone, or meant for that zone or for the
	// gateway's machine.
	Near bool `json:"near,omitempty"`
}

func statusOf(n snapshot.ServiceNote) serviceStatus {
	now := n.Status()
	told := serviceStatus{Name: n.Name, Source: n.Source, Asks: now.Asks, Asked: now.Asked, Waiting: now.Waiting, Queued: now.Queued, Resting: now.Resting, Endpoints: make([]endpoint, len(now.Endpoints))}
	if h := n.Heard(); h != nil {
		one := heardOf(*h)
		told.Heard = &one
	}
	for i, e := range now.Endpoints {
		told.Endpoints[i] = endpoint{
			Address: e.Address, ID: e.ID, Node: e.Node, Zone: e.Zone, Weight: e.Weight, State: e.State, Asked: e.Asked, Why: e.Why,
			Since: e.Since.UTC(), Checked: e.Checked.UTC(), Ejected: e.Ejected.UTC(), Proving: e.Proving,
			InFlight: e.InFlight, LatencyMS: float64(e.Latency.Microseconds()) / 1000, PenaltyMS: float64(e.Penalty.Microseconds()) / 1000, Started: e.Started, Near: e.Local,
		}
	}
	return told
}

// services answers with the state of all services.
func (a *api) services(w http.ResponseWriter, r *http.Request) {
	current := a.Gateway.Current()
	if current == nil {
		answer(w, r, fault.ShuttingDown.New("No configuration is applied."))
		return
	}
	told := struct {
		Services []serviceStatus `json:"services"`
	}{make([]serviceStatus, len(current.Services))}
	for i, n := range current.Services {
		told.Services[i] = statusOf(n)
	}
	writeJSON(w, told)
}

// service answers with the state of one service.
func (a *api) service(w http.ResponseWriter, r *http.Request) {
	current := a.Gateway.Current()
	if current == nil {
		answer(w, r, fault.ShuttingDown.New("No configuration is applied."))
		return
	}
	name, names := r.PathValue("name"), make([]string, len(current.Services))
	for i, n := range current.Services {
		if n.Name == name {
			writeJSON(w, statusOf(n))
			return
		}
		names[i] = n.Name
	}
	answer(w, r, fault.ServiceNotFound.New(closest(name, names)))
}

// closest suggests the service that was probably meant: by its spelling, or because name is part of its name.
func closest(name string, names []string) string {
	near, ok := doc.Suggest(name, names)
	if i := slices.IndexFunc(names, func(other string) bool { return name != "" && strings.Contains(other, name) }); !ok && i >= 0 {
		near, ok = names[i], true
	}
	if !ok {
		return "GET /v1/services lists those that there are."
	}
	return fmt.Sprintf("Did you mean %q? GET /v1/services lists those that there are.", near)
}
