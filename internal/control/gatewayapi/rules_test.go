package gatewayapi

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weir-gateway/weir/internal/config"
)

func TestHostnamesOfListenerAndRouteIntersect(t *testing.T) {
	for _, c := range []struct {
		listener, route, want string
		ok                    bool
	}{
		{"", "", "", true},
		{"", "shop.dev", "shop.dev", true},
		{"shop.dev", "", "shop.dev", true},
		{"shop.dev", "shop.dev", "shop.dev", true},
		{"shop.dev", "SHOP.dev", "shop.dev", true},
		{"shop.dev", "other.dev", "", false},
		{"*.shop.dev", "a.shop.dev", "a.shop.dev", true},
		{"*.shop.dev", "a.b.shop.dev", "a.b.shop.dev", true},
		{"*.shop.dev", "shop.dev", "", false},
		{"*.shop.dev", "ashop.dev", "", false},
		{"a.shop.dev", "*.shop.dev", "a.shop.dev", true},
		{"shop.dev", "*.shop.dev", "", false},
		{"*.shop.dev", "*.shop.dev", "*.shop.dev", true},
		{"*.shop.dev", "*.a.shop.dev", "*.a.shop.dev", true},
		{"*.a.shop.dev", "*.shop.dev", "*.a.shop.dev", true},
		{"*.a.shop.dev", "*.b.shop.dev", "", false},
		{"*.dev", "*.shop.dev", "*.shop.dev", true},
		{"*.shop.dev", "", "*.shop.dev", true},
	} {
		got, ok := intersect(c.listener, c.route)
		if got != c.want || ok != c.ok {
			t.Errorf("intersect(%q, %q) = %q, %t; want %q, %t", c.listener, c.route, got, ok, c.want, c.ok)
		}
	}
}

func TestReferencesAcrossNamespacesNeedAGrant(t *testing.T) {
	service := groupKind{"", "Service"}
	route := groupKind{gwv1.GroupName, kindHTTP}
	grant := func(namespace string, from gwv1.ReferenceGrantFrom, to gwv1.ReferenceGrantTo) *gwv1.ReferenceGrant {
		return &gwv1.ReferenceGrant{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace},
			Spec:       gwv1.ReferenceGrantSpec{From: []gwv1.ReferenceGrantFrom{from}, To: []gwv1.ReferenceGrantTo{to}},
		}
	}
	fromShop := gwv1.ReferenceGrantFrom{Group: gwv1.GroupName, Kind: kindHTTP, Namespace: "shop"}
	for _, c := range []struct {
		name   string
		grants []*gwv1.ReferenceGrant
		from   string
		want   bool
	}{
		{"its own namespace needs none", nil, "users", true},
		{"none at all", nil, "shop", false},
		{"all Services", []*gwv1.ReferenceGrant{grant("users", fromShop, gwv1.ReferenceGrantTo{Kind: "Service"})}, "shop", true},
		{"this Service", []*gwv1.ReferenceGrant{grant("users", fromShop, gwv1.ReferenceGrantTo{Kind: "Service", Name: new(gwv1.ObjectName("api"))})}, "shop", true},
		{"another Service", []*gwv1.ReferenceGrant{grant("users", fromShop, gwv1.ReferenceGrantTo{Kind: "Service", Name: new(gwv1.ObjectName("web"))})}, "shop", false},
		{"another kind of target", []*gwv1.ReferenceGrant{grant("users", fromShop, gwv1.ReferenceGrantTo{Kind: "Secret"})}, "shop", false},
		{"another group of target", []*gwv1.ReferenceGrant{grant("users", fromShop, gwv1.ReferenceGrantTo{Group: "apps", Kind: "Service"})}, "shop", false},
		{"another namespace of origin", []*gwv1.ReferenceGrant{grant("users", fromShop, gwv1.ReferenceGrantTo{Kind: "Service"})}, "evil", false},
		{"another kind of origin", []*gwv1.ReferenceGrant{grant("users", gwv1.ReferenceGrantFrom{Group: gwv1.GroupName, Kind: kindGRPC, Namespace: "shop"}, gwv1.ReferenceGrantTo{Kind: "Service"})}, "shop", false},
		{"a grant in the wrong namespace", []*gwv1.ReferenceGrant{grant("shop", fromShop, gwv1.ReferenceGrantTo{Kind: "Service"})}, "shop", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := newTranslator(&Objects{ReferenceGrants: c.grants}, Options{})
			if got := tr.granted(route, c.from, service, types.NamespacedName{Namespace: "users", Name: "api"}); got != c.want {
				t.Errorf("granted = %t", got)
			}
		})
	}
}

func TestOlderRouteRanksBeforeYoungerAndThenByName(t *testing.T) {
	old := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	young := metav1.NewTime(old.Add(time.Second))
	rank := func(created metav1.Time, namespace, name string, rule int) string {
		rs := &ruleSet{route: &route{kind: kindHTTP, name: types.NamespacedName{Namespace: namespace, Name: name}, created: created}}
		return rs.rule(rule).Policy.Rank
	}
	ascending := []string{
		rank(old, "shop", "z", 0), rank(young, "a", "b", 0), rank(young, "a", "b", 2), rank(young, "a", "b", 10), rank(young, "a", "c", 0), rank(young, "b", "a", 0),
	}
	for i := range ascending[1:] {
		if ascending[i] >= ascending[i+1] {
			t.Errorf("rank %q does not come before %q", ascending[i], ascending[i+1])
		}
	}
}

func TestProtocolFollowsAppProtocol(t *testing.T) {
	for _, c := range []struct {
		kind, app, want string
		tls, ok         bool
	}{
		{kindHTTP, "", "http", false, true},
		{kindHTTP, "http", "http", false, true},
		{kindHTTP, "kubernetes.io/h2c", "h2c", false, true},
		{kindHTTP, "kubernetes.io/ws", "http", false, true},
		{kindHTTP, "kubernetes.io/wss", "http", true, true},
		{kindHTTP, "HTTPS", "http", true, true},
		{kindHTTP, "mysql", "", false, false},
		{kindGRPC, "", "grpc", false, true},
		{kindGRPC, "kubernetes.io/h2c", "grpc", false, true},
		{kindGRPC, "kubernetes.io/ws", "", false, false},
		{kindTLS, "anything", "tcp", false, true},
		{kindUDP, "", "udp", false, true},
	} {
		got, overTLS, ok := protocolOf(c.kind, c.app)
		if got != c.want || overTLS != c.tls || ok != c.ok {
			t.Errorf("protocolOf(%s, %q) = %q, %t, %t", c.kind, c.app, got, overTLS, ok)
		}
	}
}

func TestMethodOfAGRPCRouteBecomesAPath(t *testing.T) {
	for _, c := range []struct {
		service, method string
		want            config.PathMatch
		ok              bool
	}{
		{"", "", config.PathMatch{Prefix: "/"}, true},
		{"shop.v1.Orders", "", config.PathMatch{Prefix: "/shop.v1.Orders"}, true},
		{"shop.v1.Orders", "Get", config.PathMatch{Exact: "/shop.v1.Orders/Get"}, true},
		{"", "Get", config.PathMatch{Pattern: "/{service}/Get"}, true},
		{"", "{id}", config.PathMatch{}, false},
		{"", "**", config.PathMatch{}, false},
		{"a/b", "", config.PathMatch{}, false},
		{"", "Get\n", config.PathMatch{}, false},
	} {
		got, err := grpcPath(&gwv1.GRPCMethodMatch{Service: &c.service, Method: &c.method})
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("grpcPath(%q, %q) = %+v, %v", c.service, c.method, got, err)
		}
	}
}

func TestMergeKeepsTransitionTimesAndForeignParents(t *testing.T) {
	before, now := metav1.NewTime(time.Unix(1, 0)), metav1.NewTime(time.Unix(2, 0))
	condition := func(kind string, status metav1.ConditionStatus, at metav1.Time) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, LastTransitionTime: at}
	}
	foreign := gwv1.RouteParentStatus{ControllerName: "other.dev/c", ParentRef: gwv1.ParentReference{Name: "x"}}
	old := []gwv1.RouteParentStatus{
		foreign,
		{ControllerName: "weir.dev/c", ParentRef: gwv1.ParentReference{Name: "edge"}, Conditions: []metav1.Condition{
			condition("Accepted", metav1.ConditionTrue, before), condition("ResolvedRefs", metav1.ConditionTrue, before),
			condition("PartiallyInvalid", metav1.ConditionTrue, before), condition("Foreign", metav1.ConditionTrue, before),
		}},
		{ControllerName: "weir.dev/c", ParentRef: gwv1.ParentReference{Name: "gone"}},
	}
	fresh := []gwv1.RouteParentStatus{{ControllerName: "weir.dev/c", ParentRef: gwv1.ParentReference{Name: "edge"}, Conditions: []metav1.Condition{
		condition("Accepted", metav1.ConditionTrue, metav1.Time{}), condition("ResolvedRefs", metav1.ConditionFalse, metav1.Time{}),
	}}}
	merged := MergeParents(old, fresh, "weir.dev/c", now)
	if len(merged) != 2 || merged[0].ParentRef.Name != "x" || merged[1].ParentRef.Name != "edge" {
		t.Fatalf("parents %+v", merged)
	}
	want := []metav1.Condition{
		condition("Accepted", metav1.ConditionTrue, before), condition("ResolvedRefs", metav1.ConditionFalse, now),
		condition("Foreign", metav1.ConditionTrue, before),
	}
	if len(merged[1].Conditions) != len(want) {
		t.Fatalf("conditions %+v", merged[1].Conditions)
	}
	for i, c := range merged[1].Conditions {
		if c != want[i] {
			t.Errorf("condition %d is %+v, want %+v", i, c, want[i])
		}
	}
}
