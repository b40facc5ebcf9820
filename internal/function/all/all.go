// Package all lists all kinds of functions that Weir is built with.
package all

import (
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/azure"
	"github.com/weir-gateway/weir/internal/function/gcf"
	"github.com/weir-gateway/weir/internal/function/lambda"
	"github.com/weir-gateway/weir/internal/function/local"
)

// Definitions lists them. The definitions of one call share nothing with those of another.
func Definitions() []function.Definition {
	return []function.Definition{local.Definition(), lambda.Definition(), gcf.Definition(), azure.Definition()}
}
