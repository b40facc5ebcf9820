package consul

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/discovery"
)

// entry is an instance in the answer of /v1/health/service, with the fields that are used here.
type entry struct {
	Node struct {
		Node    string
		Address string
		Meta    map[string]string
	}
	Service struct {
		ID          string
		Service     string
		Address     string
		Port        int
		Meta        map[string]string
		Weights     *struct{ Passing, Warning int }
		Locality    *struct{ Zone string }
		CreateIndex uint64
	}
	Checks []struct {
		CheckID string
		Status  string
	}
}

// The states of checks, as Consul writes them.
const (
	statusPassing  = "passing"
	statusWarning  = "warning"
	statusCritical = "critical"
)

// The checks that put an instance or its node into maintenance.
const (
	nodeMaintenance    = "_node_maintenance"
	serviceMaintenance = "_service_maintenance:"
)

// status returns the worst state of an instance's checks; an instance without checks passes.
func (e *entry) status() string {
	worst := statusPassing
	for _, c := range e.Checks {
		switch {
		case c.CheckID == nodeMaintenance || strings.HasPrefix(c.CheckID, serviceMaintenance):
			return statusCritical
		case c.Status == statusPassing || c.Status == statusWarning && worst == statusCritical:
		case c.Status == statusWarning:
			worst = statusWarning
		default: // critical, and unknown states
			worst = statusCritical
		}
	}
	return worst
}

// endpoint makes an endpoint of an instance. warning is its condition if a check warns; zone is the metadata key of its
// zone.
func (e *entry) endpoint(warning discovery.Condition, zone string) (discovery.Endpoint, error) {
	s := &e.Service
	made := discovery.Endpoint{
		// An id may come back: an instance that is registered again is another one.
		ID: s.ID + "@" + strconv.FormatUint(s.CreateIndex, 10), Node: e.Node.Node, Weight: 1,
		Address: net.JoinHostPort(cmp.Or(s.Address, e.Node.Address), strconv.Itoa(s.Port)),
		Zone:    cmp.Or(s.Meta[zone], e.Node.Meta[zone]),
	}
	if s.Locality != nil {
		made.Zone = cmp.Or(s.Locality.Zone, made.Zone)
	}
	status := e.status()
	switch status {
	case statusCritical:
		made.Condition = discovery.NotReady
	case statusWarning:
		made.Condition = warning
	}
	if s.Weights != nil {
		made.Weight = max(0, s.Weights.Passing)
		if status == statusWarning {
			made.Weight = max(0, s.Weights.Warning)
		}
	}
	if _, _, err := discovery.SplitAddress(made.Address); err != nil {
		return made, fmt.Errorf("the address %q is %w", made.Address, err)
	}
	err := made.Check()
	return made, err //nolint:wrapcheck // as it is told
}
