package docker

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/discovery"
)

// The labels of a container.
const (
	labelService = "weir.service"
	labelPort    = "weir.port"
	labelWeight  = "weir.weight"
	labelZone    = "weir.zone"
	labelNetwork = "weir.network"

	composeService = "com.docker.compose.service"
	composeProject = "com.docker.compose.project"
)

// container is the part of /containers/ID/json that is used here.
type container struct {
	ID    string `json:"Id"` //nolint:tagliatelle // the daemon's
	Name  string
	State struct {
		Status    string
		StartedAt string
		Health    *struct{ Status string }
	}
	Config struct {
		Labels       map[string]string
		ExposedPorts map[string]struct{}
		StopSignal   string
	}
	HostConfig      struct{ NetworkMode string }
	NetworkSettings struct {
		Ports    map[string][]published
		Networks map[string]*struct{ IPAddress, GlobalIPv6Address string }
	}

	stopping bool // it was told to stop
}

// published is a published port of a container on the daemon's machine.
type published struct {
	HostIP   string `json:"HostIp"` //nolint:tagliatelle // the daemon's
	HostPort string
}

// at returns its address; a port that is published on all addresses is called at machine.
func (p published) at(machine string) string {
	if ip, err := netip.ParseAddr(p.HostIP); err == nil && !ip.IsUnspecified() {
		return net.JoinHostPort(ip.String(), p.HostPort)
	}
	return net.JoinHostPort(machine, p.HostPort)
}

// names returns the names of the services that labels assign a container to: that of its own label, else the name in
// Compose, alone and with its project.
func names(labels map[string]string) []string {
	if own := labels[labelService]; own != "" {
		return []string{own}
	}
	service := labels[composeService]
	return []string{service, labels[composeProject] + "/" + service}
}

// concerns tells whether a container may belong to any service.
func concerns(labels map[string]string) bool {
	return labels[labelService] != "" || labels[composeService] != ""
}

// runs tells whether the container can be called, now or later.
func (c *container) runs() bool {
	return slices.Contains([]string{"running", "paused", "restarting"}, c.State.Status)
}

func (c *container) condition() discovery.Condition {
	switch {
	case c.State.Status != "running":
		return discovery.NotReady
	case c.State.Health != nil && (c.State.Health.Status == "starting" || c.State.Health.Status == "unhealthy"):
		return discovery.NotReady
	case c.stopping:
		return discovery.Draining
	}
	return discovery.Ready
}

// stops tells whether a signal is one that stops the container.
func (c *container) stops(signal string) bool {
	number := map[string]string{"": "15", "SIGTERM": "15", "SIGINT": "2", "SIGQUIT": "3", "SIGKILL": "9", "SIGHUP": "1", "SIGUSR1": "10", "SIGWINCH": "28"}
	own := c.Config.StopSignal
	return signal == "9" || signal == cmp.Or(number[own], own)
}

// whereabouts are what the gateway knows about how containers can be called.
type whereabouts struct {
	machine string          // the daemon's
	ports   string          // atContainer or atHost
	network string          // that the config prefers
	own     map[string]bool // networks that the gateway itself is in, if it is a container; else nil
}

// endpoint makes an endpoint of a container.
func (c *container) endpoint(w whereabouts) (discovery.Endpoint, error) {
	labels := c.Config.Labels
	e := discovery.Endpoint{ID: c.ID + "@" + c.State.StartedAt, Zone: labels[labelZone], Weight: 1, Condition: c.condition()}
	if text := labels[labelWeight]; text != "" {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return e, fmt.Errorf("its label %s is %q, and no number from 0", labelWeight, text)
		}
		e.Weight = int(n)
	}
	port, err := c.port()
	if err != nil {
		return e, err
	}
	e.Address, err = c.address(w, port)
	if err != nil {
		return e, err
	}
	if _, _, err = discovery.SplitAddress(e.Address); err != nil {
		return e, err //nolint:wrapcheck // it is about the address
	}
	err = e.Check()
	return e, err //nolint:wrapcheck // as it is told
}

// port returns the container's port: that of its label, else the only TCP port that it exposes.
func (c *container) port() (uint16, error) {
	if text := c.Config.Labels[labelPort]; text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return 0, fmt.Errorf("its label %s is %q, and no port", labelPort, text)
		}
		return uint16(n), nil
	}
	found := map[uint16]bool{}
	for _, spelled := range slices.Concat(slices.Collect(maps.Keys(c.Config.ExposedPorts)), slices.Collect(maps.Keys(c.NetworkSettings.Ports))) {
		text, protocol, _ := strings.Cut(spelled, "/")
		if n, err := strconv.ParseUint(text, 10, 16); err == nil && protocol != "udp" && protocol != "sctp" {
			found[uint16(n)] = true
		}
	}
	list := slices.Sorted(maps.Keys(found))
	switch len(list) {
	case 0:
		return 0, fmt.Errorf("it exposes no port; say which one with the label %s", labelPort)
	case 1:
		return list[0], nil
	}
	return 0, fmt.Errorf("it exposes the ports %v; say which one with the label %s", list, labelPort)
}

// address returns where a port of the container is called.
func (c *container) address(w whereabouts, port uint16) (string, error) {
	spelled := strconv.Itoa(int(port))
	if c.HostConfig.NetworkMode == "host" {
		return net.JoinHostPort(w.machine, spelled), nil
	}
	if w.ports == atContainer {
		ip, err := c.ip(w)
		switch {
		case err != nil:
			return "", err
		case ip != "":
			return net.JoinHostPort(ip, spelled), nil
		}
	}
	if list := c.NetworkSettings.Ports[spelled+"/tcp"]; len(list) > 0 {
		return list[0].at(w.machine), nil
	}
	if w.ports == atHost {
		return "", fmt.Errorf("its port %s is not published", spelled)
	}
	return "", errors.New("it has no address in any network, and its port is not published")
}

// ip returns the container's address in the network that it is called in, "" if it has none.
func (c *container) ip(w whereabouts) (string, error) {
	networks := c.NetworkSettings.Networks
	addressIn := func(name string) string {
		if n := networks[name]; n != nil {
			return cmp.Or(n.IPAddress, n.GlobalIPv6Address)
		}
		return ""
	}
	if name := c.Config.Labels[labelNetwork]; name != "" {
		if ip := addressIn(c.inProject(name)); ip != "" {
			return ip, nil
		}
		return "", fmt.Errorf("it has no address in the network %q of its label %s", name, labelNetwork)
	}
	if ip := addressIn(w.network); ip != "" {
		return ip, nil
	}
	names := slices.Sorted(maps.Keys(networks))
	reached := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return addressIn(name) == "" || w.own != nil && !w.own[name] })
	switch len(reached) {
	case 0:
		if w.own != nil && slices.ContainsFunc(names, func(name string) bool { return addressIn(name) != "" }) {
			return "", fmt.Errorf("it is in the networks %v, and the gateway's container is in none of them", names)
		}
		return "", nil
	case 1:
		return addressIn(reached[0]), nil
	}
	return "", fmt.Errorf("it is in the networks %v; say which one with the label %s, or for all with network below discovery", reached, labelNetwork)
}

// inProject returns the full name of a network that the label may call by its name in the Compose file.
func (c *container) inProject(name string) string {
	if full := c.Config.Labels[composeProject] + "_" + name; c.NetworkSettings.Networks[name] == nil && c.NetworkSettings.Networks[full] != nil {
		return full
	}
	return name
}
