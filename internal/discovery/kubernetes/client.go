package kubernetes

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/weir-gateway/weir/internal/base/httpx"
)

// Where a pod finds information about itself.
const (
	hostVariable  = "KUBERNETES_SERVICE_HOST"
	accountFolder = "/var/run/secrets/kubernetes.io/serviceaccount/"
	tokenFile     = accountFolder + "token"
	namespaceFile = accountFolder + "namespace"
)

// inPod tells whether this process runs in a pod.
func inPod() bool { return os.Getenv(hostVariable) != "" }

// errNoAccount means that the token of the service account is not mounted in the pod.
var errNoAccount = errors.New("the pod has no token of its service account; set `automountServiceAccountToken: true` on it, or say `kubeconfig` under `discovery: { kubernetes: ... }`")

// client reaches the API server.
type client struct {
	connections      *http.Client
	services, slices *rest.RESTClient
	namespace        string // that this process is in
}

func (c *client) close() { net.CloseIdleConnectionsFor(c.connections.Transport) }

// connect makes a client, which makes no connection yet.
func (c *Config) connect() (*client, error) {
	settings, namespace, err := c.access()
	if err != nil {
		return nil, err
	}
	settings.UserAgent = "weir"
	// Repeated requests have their own back-off. This is for the start, when everything is requested at once.
	settings.QPS, settings.Burst = 100, 200
	settings.WarningHandlerWithContext = rest.NoWarnings{}
	settings.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	settings.ContentType = runtime.ContentTypeProtobuf
	settings.Wrap(func(next http.RoundTripper) http.RoundTripper { return bounded{next, largestList} })
	settings.NegotiatedSerializer = serializer.NewCodecFactory(objects()).WithoutConversion()
	shared, err := rest.HTTPClientFor(settings)
	if err != nil {
		return nil, err
	}
	own := *shared // which may be net/http's default client
	own.CheckRedirect = httpx.Unfollowed
	at := &client{connections: &own, namespace: namespace}
	for version, to := range map[schema.GroupVersion]**rest.RESTClient{corev1.SchemeGroupVersion: &at.services, discoveryv1.SchemeGroupVersion: &at.slices} {
		of := rest.CopyConfig(settings)
		of.GroupVersion, of.APIPath = &version, "/apis"
		if version.Group == "" {
			of.APIPath = "/api"
		}
		if *to, err = rest.RESTClientForConfigAndClient(of, at.connections); err != nil {
			return nil, err
		}
	}
	return at, nil
}

// access returns how to reach the API server and with which credentials, and the namespace of names without one.
func (c *Config) access() (*rest.Config, string, error) {
	if c.Kubeconfig != "" {
		return c.fromFile()
	}
	if !inPod() {
		return nil, "", errors.New("this is not a pod of a cluster; say `kubeconfig` under `discovery: { kubernetes: ... }`")
	}
	settings, err := rest.InClusterConfig()
	if errors.Is(err, os.ErrNotExist) {
		return nil, "", errNoAccount
	}
	if err != nil {
		return nil, "", err
	}
	return settings, ownNamespace(), nil
}

func (c *Config) fromFile() (*rest.Config, string, error) {
	file := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: c.Kubeconfig}, &clientcmd.ConfigOverrides{CurrentContext: c.Context})
	settings, err := file.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("the kubeconfig %s: %w", c.Kubeconfig, err)
	}
	namespace, _, err := file.Namespace()
	return settings, namespace, err
}

// ownNamespace returns the namespace of the pod.
func ownNamespace() string {
	if text, err := os.ReadFile(namespaceFile); err == nil {
		if name := strings.TrimSpace(string(text)); isLabel(name) {
			return name
		}
	}
	return metav1.NamespaceDefault
}

// objects returns the kinds that are read, and no others.
func objects() *runtime.Scheme {
	known := runtime.NewScheme()
	known.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Service{}, &corev1.ServiceList{})
	known.AddKnownTypes(discoveryv1.SchemeGroupVersion, &discoveryv1.EndpointSlice{}, &discoveryv1.EndpointSliceList{})
	metav1.AddToGroupVersion(known, corev1.SchemeGroupVersion)
	metav1.AddToGroupVersion(known, discoveryv1.SchemeGroupVersion)
	return known
}
