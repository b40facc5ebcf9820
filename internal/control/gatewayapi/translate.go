package gatewayapi

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/config"
)

// Objects is everything that Translate may look at. Translate only reads it. It may contain objects of other
// controllers, which Translate ignores.
type Objects struct {
	GatewayClasses     []*gwv1.GatewayClass
	Gateways           []*gwv1.Gateway
	HTTPRoutes         []*gwv1.HTTPRoute
	GRPCRoutes         []*gwv1.GRPCRoute
	TLSRoutes          []*gwv1.TLSRoute
	TCPRoutes          []*gwv1.TCPRoute
	UDPRoutes          []*gwv1.UDPRoute
	ReferenceGrants    []*gwv1.ReferenceGrant
	BackendTLSPolicies []*gwv1.BackendTLSPolicy
	Namespaces         []*corev1.Namespace
	Services           []*corev1.Service
	Secrets            []*corev1.Secret
	ConfigMaps         []*corev1.ConfigMap
}

// Options hold what the objects do not say: our controller's name and where Gateways are served.
type Options struct {
	// ControllerName is the spec.controllerName of the GatewayClasses that are ours.
	ControllerName string
	// Bind returns the socket address ("10.0.0.7:80", ":8080") on which a port of a Gateway is served, or "" if that
	// port is not available. Gateways that are given the same address share its socket.
	Bind func(gateway types.NamespacedName, port int32) string
	// Addresses returns the IP addresses at which clients reach a Gateway. If wanted (spec.addresses) is not empty, it
	// returns those of them that can be used.
	Addresses func(gateway types.NamespacedName, wanted []string) []string
	// Reach are addresses of this machine and its links at which backends may be. By default there are none besides
	// those of a cluster.
	Reach []netip.Prefix
}

// Result is the config and the status of each object of ours. Statuses hold only what this controller says, with zero
// transition times. The caller merges them into the objects before writing them (see MergeConditions and MergeParents).
type Result struct {
	Config             *config.Config
	GatewayClasses     map[string]gwv1.GatewayClassStatus
	Gateways           map[types.NamespacedName]gwv1.GatewayStatus
	HTTPRoutes         map[types.NamespacedName]gwv1.RouteStatus
	GRPCRoutes         map[types.NamespacedName]gwv1.RouteStatus
	TLSRoutes          map[types.NamespacedName]gwv1.RouteStatus
	TCPRoutes          map[types.NamespacedName]gwv1.RouteStatus
	UDPRoutes          map[types.NamespacedName]gwv1.RouteStatus
	BackendTLSPolicies map[types.NamespacedName]gwv1.PolicyStatus
}

// translator is one run of Translate.
type translator struct {
	opts       Options
	in         *Objects
	classes    map[string]bool // names of our accepted classes
	gateways   map[types.NamespacedName]*gateway
	namespaces map[string]*corev1.Namespace
	services   map[types.NamespacedName]*corev1.Service
	secrets    map[types.NamespacedName]*corev1.Secret
	configMaps map[types.NamespacedName]*corev1.ConfigMap
	grants     map[string][]*gwv1.ReferenceGrant // by namespace
	policies   *policies
	sockets    map[string]*socket        // by config.Socket.Name
	backends   map[string]config.Service // by config.Service.Name
	config     *config.Config
	result     *Result
}

// Translate turns objects into configuration and status. If a function in opts is nil, no port can be bound or no
// address is known, respectively.
func Translate(in *Objects, opts Options) *Result {
	t := newTranslator(in, opts)
	t.translateClasses()
	t.translateGateways()
	t.translateRoutes()
	t.finishGateways()
	t.finishPolicies()
	t.finishConfig()
	return t.result
}

func newTranslator(in *Objects, opts Options) *translator {
	if opts.Bind == nil {
		opts.Bind = func(types.NamespacedName, int32) string { return "" }
	}
	if opts.Addresses == nil {
		opts.Addresses = func(types.NamespacedName, []string) []string { return nil }
	}
	t := &translator{
		opts:       opts,
		in:         in,
		classes:    map[string]bool{},
		gateways:   map[types.NamespacedName]*gateway{},
		namespaces: map[string]*corev1.Namespace{},
		services:   byName(in.Services),
		secrets:    byName(in.Secrets),
		configMaps: byName(in.ConfigMaps),
		grants:     map[string][]*gwv1.ReferenceGrant{},
		sockets:    map[string]*socket{},
		backends:   map[string]config.Service{},
		config:     &config.Config{ObjectReach: egress.Bounds{Reach: opts.Reach}},
	}
	t.result = &Result{
		Config:             t.config,
		GatewayClasses:     map[string]gwv1.GatewayClassStatus{},
		Gateways:           map[types.NamespacedName]gwv1.GatewayStatus{},
		HTTPRoutes:         map[types.NamespacedName]gwv1.RouteStatus{},
		GRPCRoutes:         map[types.NamespacedName]gwv1.RouteStatus{},
		TLSRoutes:          map[types.NamespacedName]gwv1.RouteStatus{},
		TCPRoutes:          map[types.NamespacedName]gwv1.RouteStatus{},
		UDPRoutes:          map[types.NamespacedName]gwv1.RouteStatus{},
		BackendTLSPolicies: map[types.NamespacedName]gwv1.PolicyStatus{},
	}
	for _, namespace := range in.Namespaces {
		t.namespaces[namespace.Name] = namespace
	}
	for _, grant := range in.ReferenceGrants {
		t.grants[grant.Namespace] = append(t.grants[grant.Namespace], grant)
	}
	t.policies = newPolicies(t)
	return t
}

// translateClasses accepts the classes of our controller. Weir knows no parameters, and refuses a class that asks for
// them instead of ignoring them.
func (t *translator) translateClasses() {
	for _, class := range t.in.GatewayClasses {
		if string(class.Spec.ControllerName) != t.opts.ControllerName {
			continue
		}
		accepted := passed(string(gwv1.GatewayClassReasonAccepted), "Weir serves the Gateways of this class")
		if class.Spec.ParametersRef != nil {
			accepted = failed(string(gwv1.GatewayClassReasonInvalidParameters), "Weir knows no parameters for a GatewayClass")
		}
		t.classes[class.Name] = accepted.ok
		t.result.GatewayClasses[class.Name] = gwv1.GatewayClassStatus{
			Conditions: []metav1.Condition{
				accepted.condition(string(gwv1.GatewayClassConditionStatusAccepted), class.Generation),
			},
			SupportedFeatures: supportedFeatures(),
		}
	}
}

// finishConfig sorts what was collected in maps.
func (t *translator) finishConfig() {
	for _, s := range t.backends {
		t.config.Services = append(t.config.Services, s)
	}
	slices.SortFunc(t.config.Services, func(a, b config.Service) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(t.config.Sockets, func(a, b config.Socket) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(t.config.Listeners, func(a, b config.Listener) int { return cmp.Compare(a.Name, b.Name) })
}

// byAge returns objects in the order that decides conflicts: oldest first, then by namespace and name.
func byAge[T metav1.Object](objects []T) []T {
	sorted := slices.Clone(objects)
	slices.SortStableFunc(sorted, func(a, b T) int {
		return cmp.Or(
			a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time),
			cmp.Compare(a.GetNamespace()+"/"+a.GetName(), b.GetNamespace()+"/"+b.GetName()),
		)
	})
	return sorted
}

func byName[T metav1.Object](objects []T) map[types.NamespacedName]T {
	m := make(map[types.NamespacedName]T, len(objects))
	for _, o := range objects {
		m[nameOf(o)] = o
	}
	return m
}

func nameOf(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

// deref returns the value that p points to, or the default that the API server would have filled in.
func deref[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
