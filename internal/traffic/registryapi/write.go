package registryapi

import (
	"net/http"

	"github.com/weir-gateway/weir/internal/base/registry"
)

// register handles PUT of an instance.
func (a *API) register(c *call) error {
	service, id, err := c.named()
	if err != nil {
		return err
	}
	token, err := a.writer(c, service)
	if err != nil {
		return err
	}
	body, err := c.body(registry.LongestBody)
	if err != nil {
		return err
	}
	i, err := registry.ParseBody(service, id, body, c.x.Client.IP)
	if err != nil {
		return err
	}
	if err := a.address(c, token, i.Address); err != nil {
		return err
	}
	if token != nil {
		i.Owner = token.Name
	}
	entry, created, err := a.options.Registry.Put(i)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	c.json(status, append(entry.Append(nil), '\n'))
	return nil
}

// heartbeat handles POST of a heartbeat, whose body may be empty.
func (a *API) heartbeat(c *call) error {
	c.x.Routine = true
	return a.about(c, a.options.Registry.Heartbeat)
}

// deregister handles DELETE of an instance.
func (a *API) deregister(c *call) error { return a.about(c, a.options.Registry.Remove) }

// about does something to the instance that the path names.
func (a *API) about(c *call, do func(service, id string) error) error {
	service, id, err := c.named()
	if err != nil {
		return err
	}
	if _, err := a.writer(c, service); err != nil {
		return err
	}
	if _, err := c.body(registry.LongestBody); err != nil { // so that the connection can be reused
		return err
	}
	if err := do(service, id); err != nil {
		return err
	}
	c.nothing()
	return nil
}
