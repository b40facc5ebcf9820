package conformance

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/apis/v1alpha2"
	"sigs.k8s.io/gateway-api/apis/v1alpha3"
	"sigs.k8s.io/gateway-api/apis/v1beta1"
)

// cluster is a fake API server together with what controllers of a real cluster do and the tests need: defaults,
// generations, creation times, and for every Deployment ready pods, each with an echo server.
type cluster struct {
	client.WithWatch // used by the tests: every write is noticed

	// direct skips defaults and notices; the controller uses it to write statuses.
	direct      client.WithWatch
	definitions *definitions
	pods        *pods
	// changed holds a token if something was written since the last one was taken.
	changed chan struct{}

	mu sync.Mutex // serialises writes with their consequences
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientscheme.AddToScheme, apiextensionsv1.AddToScheme, gwv1.Install, v1beta1.Install, v1alpha2.Install, v1alpha3.Install,
	} {
		require.NoError(t, add(scheme))
	}
	c := &cluster{definitions: loadDefinitions(t), pods: newPods(t), changed: make(chan struct{}, 1)}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(
		&gwv1.GatewayClass{}, &gwv1.Gateway{}, &gwv1.HTTPRoute{}, &gwv1.GRPCRoute{}, &gwv1.TLSRoute{},
		&gwv1.TCPRoute{}, &gwv1.UDPRoute{}, &gwv1.BackendTLSPolicy{}, &gwv1.ListenerSet{},
	)
	for _, crd := range c.definitions.all {
		builder = builder.WithObjects(crd)
	}
	c.direct = builder.Build()
	c.WithWatch = interceptor.NewClient(c.direct, interceptor.Funcs{Create: c.create, Update: c.update, Patch: c.patch, Delete: c.delete})
	return c
}

// notice wakes the controller.
func (c *cluster) notice() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

func (c *cluster) create(ctx context.Context, direct client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.notice()
	if err := c.complete(obj); err != nil {
		return err
	}
	obj.SetGeneration(1)
	obj.SetUID(types.UID(fmt.Sprintf("%s-%s-%d", obj.GetNamespace(), obj.GetName(), time.Now().UnixNano())))
	obj.SetCreationTimestamp(metav1.NewTime(time.Now().Truncate(time.Second)))
	if err := direct.Create(ctx, obj, opts...); err != nil {
		return err
	}
	return c.runPods(ctx, obj)
}

func (c *cluster) update(ctx context.Context, direct client.WithWatch, obj client.Object, opts ...client.UpdateOption) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.notice()
	before, err := c.stored(ctx, obj)
	if err != nil {
		return err
	}
	obj.SetCreationTimestamp(before.GetCreationTimestamp())
	obj.SetUID(before.GetUID())
	return c.store(ctx, before, obj, opts...)
}

func (c *cluster) patch(ctx context.Context, direct client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.notice()
	before, err := c.stored(ctx, obj)
	if err != nil {
		return err
	}
	if err := direct.Patch(ctx, obj, patch, opts...); err != nil {
		return err
	}
	return c.store(ctx, before, obj)
}

func (c *cluster) delete(ctx context.Context, direct client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.notice()
	c.stopPods(ctx, obj)
	return direct.Delete(ctx, obj, opts...)
}

// store writes obj with its defaults, and with a new generation if its spec differs from that of before.
func (c *cluster) store(ctx context.Context, before *unstructured.Unstructured, obj client.Object, opts ...client.UpdateOption) error {
	if err := c.complete(obj); err != nil {
		return err
	}
	after, err := c.unstructured(obj)
	if err != nil {
		return err
	}
	generation := before.GetGeneration()
	if !reflect.DeepEqual(before.Object["spec"], after.Object["spec"]) {
		generation++
	}
	obj.SetGeneration(generation)
	return c.direct.Update(ctx, obj, opts...)
}

// stored returns what the server has stored under the name of obj.
func (c *cluster) stored(ctx context.Context, obj client.Object) (*unstructured.Unstructured, error) {
	gvk, err := apiutil.GVKForObject(obj, c.Scheme())
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gvk)
	return u, c.direct.Get(ctx, client.ObjectKeyFromObject(obj), u)
}

func (c *cluster) unstructured(obj client.Object) (*unstructured.Unstructured, error) {
	if u, ok := obj.(*unstructured.Unstructured); ok {
		return u, nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	return &unstructured.Unstructured{Object: content}, err
}

// complete fills in what the API server would.
func (c *cluster) complete(obj client.Object) error {
	gvk, err := apiutil.GVKForObject(obj, c.Scheme())
	if err != nil {
		return err
	}
	if gvk.Kind == "Namespace" {
		labels := obj.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[corev1.LabelMetadataName] = obj.GetName()
		obj.SetLabels(labels)
	}
	definition := c.definitions.schemas[gvk]
	if definition == nil {
		return nil
	}
	u, err := c.unstructured(obj)
	if err != nil {
		return err
	}
	if spec, ok := u.Object["spec"]; ok {
		properties := definition.Properties["spec"]
		applyDefaults(spec, &properties)
	}
	if _, same := obj.(*unstructured.Unstructured); same {
		return nil
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, obj)
}

// runPods makes the pods of a Deployment and starts their echo servers.
func (c *cluster) runPods(ctx context.Context, obj client.Object) error {
	if gvk, err := apiutil.GVKForObject(obj, c.Scheme()); err != nil || gvk.Kind != "Deployment" {
		return err
	}
	u, err := c.unstructured(obj)
	if err != nil {
		return err
	}
	var deployment appsv1.Deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &deployment); err != nil {
		return err
	}
	replicas := int32(1)
	if deployment.Spec.Replicas != nil {
		replicas = *deployment.Spec.Replicas
	}
	for i := range replicas {
		name := podName(deployment.Name, i)
		ip := c.pods.start(c, &deployment, name)
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: deployment.Namespace, Name: name, Labels: deployment.Spec.Template.Labels},
			Spec:       *deployment.Spec.Template.Spec.DeepCopy(),
			Status: corev1.PodStatus{
				Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
				Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			},
		}
		if err := c.direct.Create(ctx, pod); err != nil {
			return err
		}
	}
	return nil
}

// stopPods ends what runPods started for obj.
func (c *cluster) stopPods(ctx context.Context, obj client.Object) {
	gvk, err := apiutil.GVKForObject(obj, c.Scheme())
	if err != nil || gvk.Kind != "Deployment" {
		return
	}
	for i := int32(0); ; i++ {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: obj.GetNamespace(), Name: podName(obj.GetName(), i)}}
		if c.direct.Delete(ctx, pod) != nil {
			return
		}
		c.pods.stop(obj.GetNamespace(), pod.Name)
	}
}

// podName returns a name with two parts after the Deployment's name, like that of a real pod: the suite cuts them off
// to learn which backend answered.
func podName(deployment string, i int32) string { return fmt.Sprintf("%s-echo-%d", deployment, i) }
