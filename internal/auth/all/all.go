// Package all lists the kinds of auth that Weir is built with.
package all

import (
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/auth/basic"
	"github.com/weir-gateway/weir/internal/auth/jwt"
	"github.com/weir-gateway/weir/internal/auth/keys"
	"github.com/weir-gateway/weir/internal/auth/mtls"
)

// Definitions returns every kind of auth.
func Definitions() []auth.Definition {
	return []auth.Definition{jwt.Definition(), keys.Definition(), basic.Definition(), mtls.Definition()}
}
