package etcd

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/discovery"
)

// value is the value of a key if it is JSON: an instance, or what etcd's own package naming/endpoints writes, by which
// grpc-go finds its servers. Unknown fields belong to others and are ignored.
type value struct {
	Address string   `json:"address"`
	Port    int      `json:"port"` // if the address has none
	Weight  *float64 `json:"weight"`
	Zone    string   `json:"zone"`
	Node    string   `json:"node"`
	ID      string   `json:"id"`
	State   string   `json:"state"`

	Op   *int   `json:"Op"`
	Addr string `json:"Addr"`
	// Metadata is anything; if it is an object, the fields of an instance in it are used.
	Metadata json.RawMessage `json:"Metadata"`
}

// errDeleted says that the key marks its instance as deleted (naming.Delete).
var errDeleted = errors.New("it is marked as deleted")

// endpointOf reads the instance in a key.
func endpointOf(p pair, instance string) (discovery.Endpoint, error) {
	text := strings.TrimSpace(string(p.value))
	e := discovery.Endpoint{ID: identity(p, instance), Weight: 1}
	if !strings.HasPrefix(text, "{") {
		err := (&value{Address: text}).into(&e)
		return e, err
	}
	var v value
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return e, fmt.Errorf("it is no JSON that is understood: %w", err)
	}
	if v.Addr != "" || v.Op != nil {
		if v.Op != nil && *v.Op != 0 {
			return e, errDeleted
		}
		var more value
		_ = json.Unmarshal(v.Metadata, &more) // it may be anything, and need not be known here
		more.Address, more.Port = v.Addr, 0
		v = more
	}
	err := v.into(&e)
	return e, err
}

// into copies the fields into e.
func (v *value) into(e *discovery.Endpoint) error {
	e.Address, e.Zone, e.Node = v.Address, v.Zone, v.Node
	if v.ID != "" {
		e.ID = v.ID
	}
	if v.Port != 0 {
		e.Address = net.JoinHostPort(strings.Trim(v.Address, "[]"), strconv.Itoa(v.Port))
	}
	if v.Weight != nil {
		if *v.Weight < 0 || *v.Weight > discovery.MostWeight {
			return fmt.Errorf("its weight is %v, and not from 0 to %d", *v.Weight, discovery.MostWeight)
		}
		e.Weight = int(*v.Weight)
	}
	switch v.State {
	case "", "ready":
	case "draining":
		e.Condition = discovery.Draining
	case "not_ready":
		e.Condition = discovery.NotReady
	default:
		return fmt.Errorf("its state is %q, and not ready, draining or not_ready", v.State)
	}
	if err := checkAddress(e.Address); err != nil {
		return err
	}
	return e.Check() //nolint:wrapcheck // as it is told
}

// checkAddress accepts only a host and port: anyone who may write to etcd must not choose sockets of this machine.
func checkAddress(address string) error {
	if _, _, err := discovery.SplitAddress(address); err != nil {
		return fmt.Errorf("the address %q is %w", address, err)
	}
	return nil
}

// identity tells apart instances that use one key one after the other: each has a lease of its own, or creates the key
// again.
func identity(p pair, instance string) string {
	if p.lease != 0 {
		return instance + "@" + strconv.FormatInt(p.lease, 16)
	}
	return instance + "@" + strconv.FormatInt(p.create, 10)
}
