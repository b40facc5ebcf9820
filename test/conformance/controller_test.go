package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weir-gateway/weir/internal/control/gatewayapi"
)

const controllerName = "weir-gateway.dev/gateway"

// controller keeps the gateway and the statuses in line with the objects of the cluster.
type controller struct {
	t         *testing.T
	cluster   *cluster
	gateway   Gateway
	addresses addresses
}

// run reconciles on every change until ctx ends.
func (c *controller) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.cluster.changed:
			if err := c.reconcile(ctx); err != nil && ctx.Err() == nil {
				c.t.Logf("controller: %v", err)
			}
		}
	}
}

// reconcile first makes traffic flow and then reports it.
func (c *controller) reconcile(ctx context.Context) error {
	objects, err := c.cluster.objects(ctx)
	if err != nil {
		return err
	}
	result := gatewayapi.Translate(objects, gatewayapi.Options{
		ControllerName: controllerName, Bind: c.addresses.bind, Addresses: c.addresses.of,
		Reach: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, // the test's pods are there
	})
	if err := errors.Join(c.cluster.resolveServices(ctx, result.Config), c.cluster.resolveSecrets(ctx, result.Config)); err != nil {
		return err
	}
	if err := c.gateway.Apply(result.Config); err != nil {
		return fmt.Errorf("applying the config: %w", err)
	}
	return c.writeStatuses(ctx, objects, result)
}

// objects lists what the translator looks at.
func (c *cluster) objects(ctx context.Context) (*gatewayapi.Objects, error) {
	o := &gatewayapi.Objects{}
	lists := []func() error{
		func() (err error) {
			o.GatewayClasses, err = list[gwv1.GatewayClass](ctx, c, &gwv1.GatewayClassList{})
			return
		},
		func() (err error) { o.Gateways, err = list[gwv1.Gateway](ctx, c, &gwv1.GatewayList{}); return },
		func() (err error) { o.HTTPRoutes, err = list[gwv1.HTTPRoute](ctx, c, &gwv1.HTTPRouteList{}); return },
		func() (err error) { o.GRPCRoutes, err = list[gwv1.GRPCRoute](ctx, c, &gwv1.GRPCRouteList{}); return },
		func() (err error) { o.TLSRoutes, err = list[gwv1.TLSRoute](ctx, c, &gwv1.TLSRouteList{}); return },
		func() (err error) { o.TCPRoutes, err = list[gwv1.TCPRoute](ctx, c, &gwv1.TCPRouteList{}); return },
		func() (err error) { o.UDPRoutes, err = list[gwv1.UDPRoute](ctx, c, &gwv1.UDPRouteList{}); return },
	}
	for _, l := range append(lists, c.coreLists(ctx, o)...) {
		if err := l(); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// list returns pointers to the items of a list; R is the type of an item.
func list[R any](ctx context.Context, c *cluster, into client.ObjectList) ([]*R, error) {
	if err := c.direct.List(ctx, into); err != nil {
		return nil, err
	}
	items := reflect.ValueOf(into).Elem().FieldByName("Items")
	all := make([]*R, items.Len())
	for i := range all {
		all[i] = items.Index(i).Addr().Interface().(*R)
	}
	return all, nil
}

// writeStatuses writes every status that differs from the stored one.
func (c *controller) writeStatuses(ctx context.Context, o *gatewayapi.Objects, r *gatewayapi.Result) error {
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	w := &statusWriter{ctx: ctx, cluster: c.cluster}
	for _, g := range o.GatewayClasses {
		if s, ours := r.GatewayClasses[g.Name]; ours {
			s.Conditions = gatewayapi.MergeConditions(g.Status.Conditions, s.Conditions, now)
			write(w, g, &g.Status, s)
		}
	}
	for _, g := range o.Gateways {
		if s, ours := r.Gateways[client.ObjectKeyFromObject(g)]; ours {
			s.Conditions = gatewayapi.MergeConditions(g.Status.Conditions, s.Conditions, now)
			for i := range s.Listeners {
				was := slices.IndexFunc(g.Status.Listeners, func(l gwv1.ListenerStatus) bool { return l.Name == s.Listeners[i].Name })
				var old []metav1.Condition
				if was >= 0 {
					old = g.Status.Listeners[was].Conditions
				}
				s.Listeners[i].Conditions = gatewayapi.MergeConditions(old, s.Listeners[i].Conditions, now)
			}
			write(w, g, &g.Status, s)
		}
	}
	for _, x := range o.HTTPRoutes {
		writeRoute(w, x, &x.Status.RouteStatus, r.HTTPRoutes, now)
	}
	for _, x := range o.GRPCRoutes {
		writeRoute(w, x, &x.Status.RouteStatus, r.GRPCRoutes, now)
	}
	for _, x := range o.TLSRoutes {
		writeRoute(w, x, &x.Status.RouteStatus, r.TLSRoutes, now)
	}
	for _, x := range o.TCPRoutes {
		writeRoute(w, x, &x.Status.RouteStatus, r.TCPRoutes, now)
	}
	for _, x := range o.UDPRoutes {
		writeRoute(w, x, &x.Status.RouteStatus, r.UDPRoutes, now)
	}
	for _, x := range o.BackendTLSPolicies {
		s := r.BackendTLSPolicies[client.ObjectKeyFromObject(x)]
		for i := range s.Ancestors {
			s.Ancestors[i].Conditions = gatewayapi.MergeConditions(nil, s.Ancestors[i].Conditions, now)
		}
		write(w, x, &x.Status, s)
	}
	return w.err
}

// statusWriter writes until the first error. If an object was deleted or changed meanwhile, that is not an error: the
// change wakes the controller again.
type statusWriter struct {
	ctx     context.Context //nolint:containedctx // it lives for one call
	cluster *cluster
	err     error
}

func write[S any](w *statusWriter, obj client.Object, into *S, status S) {
	if w.err != nil || reflect.DeepEqual(*into, status) {
		return
	}
	*into = status
	w.cluster.mu.Lock() // no write between a patch and its generation
	defer w.cluster.mu.Unlock()
	if err := client.IgnoreNotFound(w.cluster.direct.Status().Update(w.ctx, obj)); err != nil {
		w.cluster.notice()
	}
}

func writeRoute(w *statusWriter, obj client.Object, into *gwv1.RouteStatus, all map[types.NamespacedName]gwv1.RouteStatus, now metav1.Time) {
	fresh := all[client.ObjectKeyFromObject(obj)]
	write(w, obj, into, gwv1.RouteStatus{Parents: gatewayapi.MergeParents(into.Parents, fresh.Parents, controllerName, now)})
}

// addresses gives every Gateway a loopback address of its own.
type addresses struct {
	mu    *sync.Mutex
	known map[types.NamespacedName]string
}

func newAddresses() addresses {
	return addresses{mu: &sync.Mutex{}, known: map[types.NamespacedName]string{}}
}

// usableAddress and unusableAddress are what the tests of static addresses request.
const (
	usableAddress   = "127.30.255.1"
	unusableAddress = "192.0.2.1"
)

func (a addresses) of(gateway types.NamespacedName, wanted []string) []string {
	if len(wanted) > 0 {
		return slices.DeleteFunc(slices.Clone(wanted), func(w string) bool { return w != usableAddress })
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known[gateway] == "" {
		n := len(a.known) + 1
		a.known[gateway] = fmt.Sprintf("127.30.%d.%d", n/250, n%250+1)
	}
	return []string{a.known[gateway]}
}

func (a addresses) bind(gateway types.NamespacedName, port int32) string {
	return fmt.Sprintf("%s:%d", a.of(gateway, nil)[0], port)
}
