// Package all lists the platforms that a config may configure under `clouds`.
package all

import (
	"github.com/weir-gateway/weir/internal/cloud/aws"
	"github.com/weir-gateway/weir/internal/cloud/web"
	"github.com/weir-gateway/weir/internal/config"
)

// Kinds returns every platform, with its name.
func Kinds() []config.Kind {
	return []config.Kind{aws.Kind(), web.Kind("azure", "Microsoft Azure"), web.Kind("google", "Google Cloud")}
}
