package config

import (
	"fmt"
	"slices"
)

// apiNames are the APIs that have a listener of their own, as people are told of them.
var apiNames = map[string]string{LambdaAPIName: "the API of AWS Lambda", RegistryName: "the registry"}

// pendingAPI is a listener of an API, which is added behind all others.
type pendingAPI struct {
	listener Listener
	address  string
}

func (l *loader) addAPIs() {
	for _, api := range l.apis {
		api.listener.Socket = l.socket(api.address, api.listener.Protocol, api.listener.Origin.Pos)
		l.cfg.Listeners = append(l.cfg.Listeners, api.listener)
	}
}

// listenerOfAPI is where an API is served, nil where it is not.
func (c *Config) listenerOfAPI(name string) *Listener {
	if i := slices.IndexFunc(c.Listeners, func(l Listener) bool { return l.API == name }); i >= 0 {
		return &c.Listeners[i]
	}
	return nil
}

// alone holds that the listener of an API has its address for itself.
func (c *validator) alone(l *Listener, why string) {
	for _, other := range c.c.Listeners {
		if other.Name != l.Name && other.Socket == l.Socket && (other.API == "" || other.API < l.API) {
			c.add(l.Origin.at(), fmt.Sprintf("%s and the listener %q have one address", apiNames[l.API], other.Name), why, fmt.Sprintf("give %s a port of its own", apiNames[l.API]))
		}
	}
}

// addressOf is where a listener listens.
func (c *Config) addressOf(l Listener) string {
	if i := slices.IndexFunc(c.Sockets, func(s Socket) bool { return s.Name == l.Socket }); i >= 0 {
		return c.Sockets[i].Address
	}
	return l.Socket
}
