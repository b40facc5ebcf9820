// Package all lists the platforms of which a config may say something under `clouds`.
package all

import (
	"github.com/weir-gateway/weir/internal/cloud/aws"
	"github.com/weir-gateway/weir/internal/cloud/web"
	"github.com/weir-gateway/weir/internal/config"
)

// Kinds gives every platform, by its name.
func Kinds() []config.Kind {
	return []config.Kind{aws.Kind(), web.Kind("azure", "Microsoft Azure"), web.Kind("google", "Google Cloud")}
}
