package gatewayapi

import (
	"k8s.io/apimachinery/pkg/types"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// groupKind names a kind of object; the core group is "".
type groupKind struct{ group, kind string }

func (g groupKind) String() string {
	if g.group == "" {
		return g.kind
	}
	return g.kind + "." + g.group
}

// granted reports whether an object of kind from in namespace may refer to the object to. Within a namespace every
// reference is allowed; across namespaces only those that a ReferenceGrant in the target's namespace allows. This
// function is the only place that decides this.
func (t *translator) granted(from groupKind, namespace string, to groupKind, target types.NamespacedName) bool {
	if namespace == target.Namespace {
		return true
	}
	for _, grant := range t.grants[target.Namespace] {
		if grantsFrom(grant, from, namespace) && grantsTo(grant, to, target.Name) {
			return true
		}
	}
	return false
}

func grantsFrom(grant *gwv1.ReferenceGrant, from groupKind, namespace string) bool {
	for _, f := range grant.Spec.From {
		if string(f.Group) == from.group && string(f.Kind) == from.kind && string(f.Namespace) == namespace {
			return true
		}
	}
	return false
}

func grantsTo(grant *gwv1.ReferenceGrant, to groupKind, name string) bool {
	for _, g := range grant.Spec.To {
		named := g.Name == nil || *g.Name == "" || string(*g.Name) == name
		if string(g.Group) == to.group && string(g.Kind) == to.kind && named {
			return true
		}
	}
	return false
}
