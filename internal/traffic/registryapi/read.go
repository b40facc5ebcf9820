package registryapi

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/base/registry"
)

// get handles GET of an instance.
func (a *API) get(c *call) error {
	if err := a.reader(c); err != nil {
		return err
	}
	service, id, err := c.named()
	if err != nil {
		return err
	}
	e, err := a.options.Registry.Get(service, id)
	if err != nil {
		return err
	}
	c.json(http.StatusOK, append(e.Append(nil), '\n'))
	return nil
}

// service handles GET of a service. A service of which nothing is registered has no instances.
func (a *API) service(c *call) error {
	if err := a.reader(c); err != nil {
		return err
	}
	name := c.param("service")
	if err := registry.CheckName("service", name); err != nil {
		return err
	}
	entries, revision := a.options.Registry.List(name)
	b := a.begin(revision)
	b = jsonx.AppendString(append(b, `,"service":`...), name)
	b = append(b, `,"instances":`...)
	c.json(http.StatusOK, append(instances(b, entries), '}', '\n'))
	return nil
}

// services handles GET of all services.
func (a *API) services(c *call) error {
	if err := a.reader(c); err != nil {
		return err
	}
	entries, revision := a.options.Registry.List("")
	b := append(a.begin(revision), `,"services":{`...)
	for from := 0; from < len(entries); {
		to := from
		for to < len(entries) && entries[to].Service == entries[from].Service {
			to++
		}
		if from > 0 {
			b = append(b, ',')
		}
		b = append(jsonx.AppendString(b, entries[from].Service), ':')
		b = instances(b, entries[from:to])
		from = to
	}
	c.json(http.StatusOK, append(b, '}', '}', '\n'))
	return nil
}

func (a *API) begin(revision string) []byte {
	b := jsonx.AppendString([]byte(`{"revision":`), revision)
	return strconv.AppendBool(append(b, `,"settled":`...), a.options.Registry.Settled())
}

func instances(b []byte, entries []registry.Entry) []byte {
	b = append(b, '[')
	for n := range entries {
		if n > 0 {
			b = append(b, ',')
		}
		b = entries[n].Append(b)
	}
	return append(b, ']')
}

// status handles GET of the registry.
func (a *API) status(c *call) error {
	if err := a.reader(c); err != nil {
		return err
	}
	s := a.options.Registry.Status()
	type limited struct {
		Now  int64 `json:"now"`
		Most int64 `json:"most"`
	}
	text, err := json.Marshal(struct {
		Settled      bool    `json:"settled"`
		Kept         bool    `json:"kept"`
		Services     limited `json:"services"`
		Instances    limited `json:"instances"`
		Suspect      int     `json:"suspect"`
		Bytes        limited `json:"bytes"`
		Watchers     limited `json:"watchers"`
		Registered   uint64  `json:"registered"`
		Deregistered uint64  `json:"deregistered"`
		Expired      uint64  `json:"expired"`
		Suspected    uint64  `json:"suspected"`
		Frozen       uint64  `json:"frozen"`
	}{
		s.Settled, s.Kept, limited{int64(s.Services), int64(s.Limits.Services)}, limited{int64(s.Instances), int64(s.Limits.Instances)}, s.Suspects,
		limited{s.Bytes, s.Limits.Bytes}, limited{int64(s.Watchers), int64(s.Limits.Watchers)},
		s.Tally.Registered, s.Tally.Deregistered, s.Tally.Expired, s.Tally.Suspected, s.Tally.Frozen,
	})
	if err != nil {
		return err
	}
	c.json(http.StatusOK, append(text, '\n'))
	return nil
}
