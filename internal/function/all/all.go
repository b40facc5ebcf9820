// Package all is the list of the kinds of functions that Weir is built with.
package all

import (
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local"
)

// Definitions lists every kind.
func Definitions() []function.Definition { return []function.Definition{local.Definition()} }
