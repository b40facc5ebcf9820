// Package all is the explicit list of the providers that Weir is built with.
package all

import (
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/discovery/consul"
	"github.com/weir-gateway/weir/internal/discovery/dns"
	"github.com/weir-gateway/weir/internal/discovery/docker"
	"github.com/weir-gateway/weir/internal/discovery/etcd"
	"github.com/weir-gateway/weir/internal/discovery/file"
	"github.com/weir-gateway/weir/internal/discovery/kubernetes"
	"github.com/weir-gateway/weir/internal/discovery/registry"
	"github.com/weir-gateway/weir/internal/discovery/static"
)

// Definitions lists the providers.
func Definitions() []discovery.Definition {
	return []discovery.Definition{
		static.Definition(),
		dns.Definition(),
		consul.Definition(),
		docker.Definition(),
		etcd.Definition(),
		file.Definition(),
		kubernetes.Definition(),
		registry.Definition(),
	}
}
