package gatewayapi

import (
	"cmp"
	"reflect"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// verdict is the answer to one question about an object, in the terms of a condition.
type verdict struct {
	ok      bool
	reason  string
	message string
}

func passed(reason, message string) verdict { return verdict{true, reason, message} }
func failed(reason, message string) verdict { return verdict{false, reason, message} }

// maxMessage is the maximum length of a condition's message.
const maxMessage = 32768

func (v verdict) condition(kind string, generation int64) metav1.Condition {
	status := metav1.ConditionFalse
	if v.ok {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{
		Type: kind, Status: status, Reason: v.reason, Message: v.message[:min(len(v.message), maxMessage)],
		ObservedGeneration: generation,
	}
}

// MergeConditions returns the conditions to write. These are the conditions of fresh and the conditions of old that
// others set. A condition of fresh keeps the transition time of old if its status did not change, and otherwise gets
// now.
func MergeConditions(old, fresh []metav1.Condition, now metav1.Time) []metav1.Condition {
	merged := make([]metav1.Condition, 0, len(fresh))
	for _, c := range fresh {
		c.LastTransitionTime = now
		if was := find(old, c.Type); was != nil && was.Status == c.Status {
			c.LastTransitionTime = was.LastTransitionTime
		}
		merged = append(merged, c)
	}
	for _, c := range old {
		if find(fresh, c.Type) == nil && !ours(c.Type) {
			merged = append(merged, c)
		}
	}
	return merged
}

func find(conditions []metav1.Condition, kind string) *metav1.Condition {
	for i := range conditions {
		if conditions[i].Type == kind {
			return &conditions[i]
		}
	}
	return nil
}

// ours reports whether Translate sets conditions of this type only at times. If such a condition is missing in a fresh
// status, it no longer holds.
func ours(kind string) bool {
	switch kind {
	case string(gwv1.RouteConditionPartiallyInvalid), string(gwv1.GatewayConditionResolvedRefs):
		return true
	default:
		return false
	}
}

// MergeParents returns the parents to write into a route's status: the fresh ones of this controller instead of its old
// ones, and those of other controllers unchanged.
func MergeParents(old, fresh []gwv1.RouteParentStatus, controller string, now metav1.Time) []gwv1.RouteParentStatus {
	merged := make([]gwv1.RouteParentStatus, 0, len(fresh))
	for _, p := range old {
		if string(p.ControllerName) != controller {
			merged = append(merged, p)
		}
	}
	for _, p := range fresh {
		var was []metav1.Condition
		i := slices.IndexFunc(old, func(o gwv1.RouteParentStatus) bool {
			return string(o.ControllerName) == controller && reflect.DeepEqual(o.ParentRef, p.ParentRef)
		})
		if i >= 0 {
			was = old[i].Conditions
		}
		p.Conditions = MergeConditions(was, p.Conditions, now)
		merged = append(merged, p)
	}
	return merged
}

// parentStatus returns what a route's status says about one of its parents.
func (t *translator) parentStatus(r *route, ref gwv1.ParentReference, verdicts ...namedVerdict) gwv1.RouteParentStatus {
	status := gwv1.RouteParentStatus{
		ParentRef:      *ref.DeepCopy(),
		ControllerName: gwv1.GatewayController(t.opts.ControllerName),
	}
	for _, v := range verdicts {
		status.Conditions = append(status.Conditions, v.condition(string(v.kind), r.generation))
	}
	return status
}

// namedVerdict is a verdict with the condition that reports it.
type namedVerdict struct {
	kind gwv1.RouteConditionType
	verdict
}

// compareParents orders parents so that a status does not depend on the input's order.
func compareParents(a, b gwv1.ParentReference) int {
	return cmp.Or(
		cmp.Compare(deref(a.Namespace, ""), deref(b.Namespace, "")),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(deref(a.SectionName, ""), deref(b.SectionName, "")),
		cmp.Compare(deref(a.Port, 0), deref(b.Port, 0)),
	)
}
