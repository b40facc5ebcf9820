// Package all lists the filters that Weir is built with.
package all

import (
	"cmp"
	"slices"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/allow"
	"github.com/weir-gateway/weir/internal/filter/async"
	"github.com/weir-gateway/weir/internal/filter/auth"
	"github.com/weir-gateway/weir/internal/filter/batch"
	"github.com/weir-gateway/weir/internal/filter/body"
	"github.com/weir-gateway/weir/internal/filter/coalesce"
	"github.com/weir-gateway/weir/internal/filter/cors"
	"github.com/weir-gateway/weir/internal/filter/csrf"
	"github.com/weir-gateway/weir/internal/filter/headers"
	"github.com/weir-gateway/weir/internal/filter/ip"
	"github.com/weir-gateway/weir/internal/filter/limit"
	"github.com/weir-gateway/weir/internal/filter/redirect"
	"github.com/weir-gateway/weir/internal/filter/respond"
	"github.com/weir-gateway/weir/internal/filter/rewrite"
	"github.com/weir-gateway/weir/internal/filter/secureheaders"
	"github.com/weir-gateway/weir/internal/filter/sign"
	"github.com/weir-gateway/weir/internal/filter/transform"
	"github.com/weir-gateway/weir/internal/filter/websocket"
)

// Definitions returns every filter, outermost stage first and by name within a stage.
func Definitions() []filter.Definition {
	list := []filter.Definition{
		allow.Definition(), async.Definition(), auth.Definition(), batch.Definition(), body.Definition(), coalesce.Definition(), cors.Definition(), csrf.Definition(), headers.Definition(), ip.Definition(),
		limit.Definition(), redirect.Definition(), respond.Definition(), rewrite.Definition(), secureheaders.Definition(), sign.Definition(), transform.Definition(), websocket.Definition(),
	}
	slices.SortFunc(list, func(a, b filter.Definition) int {
		return cmp.Or(cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// Kinds returns the same filters as kinds of the config's vocabulary.
func Kinds() []config.Kind {
	definitions := Definitions()
	kinds := make([]config.Kind, len(definitions))
	for i, d := range definitions {
		kinds[i] = d.Kind()
	}
	return kinds
}
