// Package gatewayapi translates Kubernetes Gateway API objects into Weir's single config model and into the status that
// each object must get. It is pure: its input is Objects and its output is a config.Config and statuses; it uses no
// cluster, no clock and no client. The same objects in any order give the same Result.
//
// A mistake in an object affects only that object. An invalid reference becomes a weighted 500, a filter that cannot be
// built makes its matches answer 500, and a rule that cannot be matched is dropped and reported. Values from objects
// reach the config only as typed matches, never as CEL text or path patterns. There is one exception: the method of a
// GRPCRoute without a service, which is checked to be an identifier before it becomes a segment of a pattern.
//
// The semantics are those of Gateway API v1.6, https://gateway-api.sigs.k8s.io/reference/spec/.
package gatewayapi
