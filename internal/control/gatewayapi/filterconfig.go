package gatewayapi

import (
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weir-gateway/weir/internal/config"
)

// placeholder until internal/filter/... exist.
func (fs *filterSet) filters() []config.Filter { return fs.filtersOn(0) }

func (fs *filterSet) filtersOn(port gwv1.PortNumber) []config.Filter {
	var fl []config.Filter
	add := func(name string, c any) { fl = append(fl, config.Filter{Name: name, Config: c, Origin: fs.origin}) }
	if fs.cors != nil {
		add("cors", fs.cors)
	}
	if fs.request != nil || fs.response != nil {
		add("headers", fs.request)
	}
	if fs.rewrite != nil {
		add("rewrite", fs.rewrite)
	}
	if fs.redirect != nil {
		add("redirect", fs.redirect)
	}
	return fl
}
