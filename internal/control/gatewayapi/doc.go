// Package gatewayapi turns Kubernetes Gateway API objects into Weir's one
// model and into the status that every object is owed. It is pure: Objects in,
// a config.Config and statuses out, no cluster, no clock and no client. The
// same objects in any order give the same Result.
//
// What an object says wrong costs only itself: an invalid reference becomes a
// weighted 500, a filter that cannot be built makes its matches answer 500, and
// a rule that cannot be matched is dropped and reported. Values from objects
// reach the config as typed matches only, never as CEL text or path patterns
// (one exception: the method of a GRPCRoute without a service, which was checked
// to be an identifier before it becomes a segment of a pattern).
//
// The semantics are those of Gateway API v1.6, https://gateway-api.sigs.k8s.io/reference/spec/.
package gatewayapi
