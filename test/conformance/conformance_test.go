package conformance

import (
	"context"
	"flag"
	"io/fs"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/conformance"
	"sigs.k8s.io/gateway-api/conformance/tests"
	"sigs.k8s.io/gateway-api/conformance/utils/config"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
)

// patience is short, because everything is in this process.
var patience = flag.Duration("patience", 10*time.Second, "how long a condition or an answer is waited for")

// TestConformance runs every official test of the profiles and features that
// Weir names in the status of its GatewayClass.
func TestConformance(t *testing.T) {
	requireLoopbackNetwork(t)
	c := newCluster(t)
	startController(t, c)
	require.NoError(t, c.Create(t.Context(), &gwv1.GatewayClass{
		ObjectMeta: metav1.ObjectMeta{Name: "weir"},
		Spec:       gwv1.GatewayClassSpec{ControllerName: controllerName},
	}))
	awaitClass(t, c)
	s, err := suite.NewConformanceTestSuite(options(c))
	require.NoError(t, err)
	s.Setup(t, tests.ConformanceTests)
	results := &results{}
	for _, test := range tests.ConformanceTests {
		t.Run(test.ShortName, func(t *testing.T) {
			t.Cleanup(func() { results.add(t, test) })
			// Not through s.Run, which first makes a client for a real API server.
			test.Run(t, s)
		})
	}
	results.check(t)
}

func options(c *cluster) suite.ConformanceOptions {
	timeouts := config.DefaultTimeoutConfig()
	for _, d := range []*time.Duration{
		&timeouts.NamespacesMustBeReady, &timeouts.GWCMustBeAccepted, &timeouts.GatewayMustHaveAddress, &timeouts.GatewayMustHaveCondition,
		&timeouts.GatewayStatusMustHaveListeners, &timeouts.GatewayListenersMustHaveConditions, &timeouts.HTTPRouteMustHaveCondition,
		&timeouts.HTTPRouteMustNotHaveParents, &timeouts.RouteMustHaveParents, &timeouts.TLSRouteMustHaveCondition,
		&timeouts.MaxTimeToConsistency, &timeouts.DefaultTestTimeout, &timeouts.LatestObservedGenerationSet,
	} {
		*d = *patience
	}
	address := gwv1.IPAddressType
	return suite.ConformanceOptions{
		Client:     c,
		ManifestFS: []fs.FS{&conformance.Manifests},
		ConfigurableOptions: suite.ConfigurableOptions{
			GatewayClassName:         "weir",
			CleanupTestResources:     true,
			DisableParallelTests:     true,
			TimeoutConfig:            timeouts,
			ConformanceProfiles:      []suite.ConformanceProfileName{suite.GatewayHTTPConformanceProfileName, suite.GatewayGRPCConformanceProfileName},
			UsableNetworkAddresses:   []gwv1.GatewaySpecAddress{{Type: &address, Value: usableAddress}},
			UnusableNetworkAddresses: []gwv1.GatewaySpecAddress{{Type: &address, Value: unusableAddress}},
		},
	}
}

// startController runs the controller for as long as the test runs.
func startController(t *testing.T, c *cluster) {
	t.Helper()
	loop := &controller{t: t, cluster: c, gateway: newGateway(t), addresses: newAddresses()}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { loop.run(ctx) })
	t.Cleanup(func() { cancel(); done.Wait() })
}

// awaitClass waits until the class lists its features: the suite infers them from it.
func awaitClass(t *testing.T, c *cluster) {
	t.Helper()
	require.Eventually(t, func() bool {
		var class gwv1.GatewayClass
		err := c.Get(t.Context(), clusterName("weir"), &class)
		return err == nil && len(class.Status.SupportedFeatures) > 0
	}, 10*time.Second, 10*time.Millisecond, "the GatewayClass is not accepted")
}

// requireLoopbackNetwork skips the test if a process may not bind port 80 on every address of 127.0.0.0/8; each
// Gateway and each pod has one of these.
func requireLoopbackNetwork(t *testing.T) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.30.0.1:80")
	if err != nil {
		t.Skipf("needs 127.0.0.0/8 as loopback and the right to bind port 80 (Linux as root): %v", err)
	}
	require.NoError(t, l.Close())
}
