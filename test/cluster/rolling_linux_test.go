package cluster_test

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	corev1 "k8s.io/api/core/v1"

	"github.com/weir-gateway/weir/test/cluster"
	"github.com/weir-gateway/weir/test/rolling"
)

// turns is how often all pods are replaced; `make rolling` does that for a minute.
var turns = flag.Int("rounds", 4, "how many times all three pods are replaced, every 300 ms") //nolint:gochecknoglobals // that is what flags are

// TestBySlices replaces pods as a Deployment does: a pod that ends is listed as serving and terminating until it has
// ended.
func TestBySlices(t *testing.T) {
	w := newWorld(t)
	for i, e := range []rolling.Ending{rolling.Graceful, rolling.AtOnce, rolling.Restless} {
		t.Run(string(e), func(t *testing.T) {
			w.t = t
			namespace := fmt.Sprintf("rolling-%d", i)
			w.namespace(namespace)
			w.twoPorts(namespace)
			s := rolling.NewStage(t, func(n int) string { return fmt.Sprintf("10.250.%d.%d", 1+60*i+n/250, 1+n%250) })
			g := w.gateway(cluster.Admin, "telemetry: { access_log: off }", "services:", "  calls: { source: \"k8s:"+namespace+"/users:grpc\", protocol: grpc }",
				"routes:", "  POST /grpc.testing.TestService/**: calls", "  ANY /orders: k8s:"+namespace+"/users:http")
			way := rolling.Way{Grace: time.Second, Tell: func(all []rolling.Instance) { w.tell(namespace, s, all) }}
			s.Roll(g.Address, way, rolling.Plan{Ending: e, Rounds: *turns, Every: 300 * time.Millisecond})
		})
	}
	w.t = t
}

// twoPorts makes the Service users.
func (w *world) twoPorts(namespace string) {
	w.t.Helper()
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "users"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "grpc", Port: 90}}}}
	w.done(w.Client().CoreV1().Services(namespace).Create(w.t.Context(), service, metav1.CreateOptions{}))
}

// tell writes the slice with all pods.
func (w *world) tell(namespace string, s *rolling.Stage, all []rolling.Instance) {
	http, grpc := int32(s.HTTP), int32(s.GRPC)
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "users-1", Namespace: namespace, Labels: map[string]string{discoveryv1.LabelServiceName: "users"}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: new("http"), Port: &http}, {Name: new("grpc"), Port: &grpc}},
	}
	for _, i := range all {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{i.Host}, Conditions: discoveryv1.EndpointConditions{Ready: new(!i.Leaving), Serving: new(true), Terminating: new(i.Leaving)},
		})
	}
	at := w.Client().DiscoveryV1().EndpointSlices(namespace)
	_, err := at.Update(context.Background(), slice, metav1.UpdateOptions{})
	if errors.IsNotFound(err) {
		_, err = at.Create(context.Background(), slice, metav1.CreateOptions{})
	}
	if err != nil {
		w.t.Error(err)
	}
}
