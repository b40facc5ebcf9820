package kubernetes

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// key names a Service.
type key struct{ namespace, name string }

func (k key) String() string { return k.namespace + "/" + k.name }

// host returns the name of the Service within its cluster, whatever the cluster's domain is.
func (k key) host() string { return k.name + "." + k.namespace + ".svc" }

// reference is a Service with one of its ports.
type reference struct {
	key

	// port is the name or the number of one of the Service's ports; "" means the only one.
	port string
	// pods tells that the port number is that of the pods if the Service has no address, as it is for clients that look
	// the Service up in DNS.
	pods bool
}

// readRef reads NAMESPACE/SERVICE or NAMESPACE/SERVICE:PORT.
func readRef(rest string) (reference, error) {
	if strings.HasPrefix(rest, "//") {
		return reference{}, fmt.Errorf("no slashes stand after the scheme; write k8s:%s", strings.TrimLeft(rest, "/"))
	}
	name, port, hasPort := strings.Cut(rest, ":")
	namespace, name, ok := strings.Cut(name, "/")
	switch {
	case !ok:
		return reference{}, errors.New("the namespace is missing; write k8s:NAMESPACE/SERVICE:PORT, for example k8s:shop/users:http")
	case !isLabel(namespace):
		return reference{}, fmt.Errorf("%q cannot be the name of a namespace", namespace)
	case !isLabel(name):
		return reference{}, fmt.Errorf("%q cannot be the name of a Service", name)
	case hasPort && !isPort(port):
		return reference{}, fmt.Errorf("%q is neither the name of a Service's port nor its number", port)
	}
	return reference{key: key{namespace, name}, port: port}, nil
}

// isLabel tells whether a name is valid in Kubernetes (RFC 1123 section 2.1).
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// isPort tells whether s could be the name or the number of a port of a Service.
func isPort(s string) bool {
	if n, err := strconv.ParseUint(s, 10, 16); err == nil {
		return n > 0
	}
	return isLabel(s)
}

// readHost reads the host and the port of the reference of a URL, `//users.shop.svc:8080`. If the host can be the name
// of a Service that a pod of the namespace own would look up in DNS, readHost returns that Service. known tells the
// namespaces for which names of the form SERVICE.NAMESPACE are accepted, because names on the Internet have that form
// too.
func readHost(rest string, port uint16, own string, known func(string) bool) (reference, bool) {
	authority := strings.TrimPrefix(rest, "//")
	host, number, err := net.SplitHostPort(authority)
	if err != nil {
		host, number = authority, strconv.Itoa(int(port))
	}
	labels := strings.Split(strings.ToLower(host), ".")
	namespace := own
	switch {
	case len(labels) == 1:
	case len(labels) == 2 && (labels[1] == own || known(labels[1])), len(labels) > 2 && labels[2] == "svc":
		namespace = labels[1]
	default:
		return reference{}, false
	}
	if _, err := strconv.ParseUint(number, 10, 16); err != nil || !isLabel(labels[0]) || !isLabel(namespace) || labels[0] == "localhost" {
		return reference{}, false
	}
	return reference{key: key{namespace, labels[0]}, port: number, pods: true}, true
}
