// Package conformance runs the official conformance tests of the Kubernetes
// Gateway API, unchanged, against Weir without a cluster: a fake API server in
// this process holds the objects, a small controller loop translates them with
// internal/control/gatewayapi and writes the statuses back, and a gateway on
// loopback serves the traffic to echo servers that stand in for pods.
//
// It is a module of its own, so that Weir itself depends on no Kubernetes client.
//
// What is real: the tests, their manifests, their clients; defaults of the
// custom resources (from the official CRDs); generations; label selectors;
// endpoints of Services; Weir. What is not: admission rules (CEL) of the CRDs,
// and pods. A run against a real API server belongs to test/cluster.
package conformance
