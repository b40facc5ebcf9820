package consul

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/weir-gateway/weir/internal/discovery"
)

// reference is how a service is queried.
type reference struct {
	name       string
	tags       []string // an instance has all of them
	datacenter string   // "": the agent's own
}

// readReference reads `users`, or `users?tag=v2&dc=eu`.
func readReference(rest string) (reference, error) {
	name, query, _ := strings.Cut(rest, "?")
	r := reference{name: name}
	switch {
	case name == "":
		return r, errors.New("the name of the service is missing")
	case strings.HasPrefix(name, "//"):
		return r, errors.New("no slashes stand after the scheme; where Consul is stands below discovery, and here the service: consul:users")
	case strings.ContainsAny(name, "/#"):
		return r, fmt.Errorf("%q is no name of a service", name)
	}
	if err := discovery.CheckReference(name); err != nil {
		return r, err //nolint:wrapcheck // as it is told
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return r, fmt.Errorf("what stands after ? is not understood: %w", err)
	}
	for key, list := range values {
		switch {
		case key == "tag":
			r.tags = list
		case key == "dc" && len(list) == 1:
			r.datacenter = list[0]
		default:
			return r, fmt.Errorf("%q is not known after ?; there are tag, also several times, and dc", key)
		}
	}
	return r, cmp.Or(discovery.CheckText(strings.Join(r.tags, "")), discovery.CheckReference(r.datacenter)) //nolint:wrapcheck // as they are told
}

// path returns the path of the query, without the parameters of a blocking query.
func (r reference) path() string { return "/v1/health/service/" + url.PathEscape(r.name) }

func (r reference) values() url.Values {
	v := url.Values{}
	if r.datacenter != "" {
		v.Set("dc", r.datacenter)
	}
	for _, tag := range r.tags {
		v.Add("tag", tag)
	}
	return v
}
