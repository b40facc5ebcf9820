package deploy_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/test/weirtest"
)

// manifest is everything in deploy/kubernetes.
type manifest struct {
	namespace  corev1.Namespace
	account    corev1.ServiceAccount
	role       rbacv1.ClusterRole
	binding    rbacv1.RoleBinding
	configs    corev1.ConfigMap
	deployment appsv1.Deployment
	budget     policyv1.PodDisruptionBudget
	service    corev1.Service
	policy     networkingv1.NetworkPolicy
}

// manifests parses the manifests strictly: a field that Kubernetes does not know is an error.
func manifests(t *testing.T) *manifest {
	t.Helper()
	m := &manifest{}
	kinds := map[string]any{
		"Namespace": &m.namespace, "ServiceAccount": &m.account, "ClusterRole": &m.role, "RoleBinding": &m.binding, "ConfigMap": &m.configs, "Deployment": &m.deployment,
		"PodDisruptionBudget": &m.budget, "Service": &m.service, "NetworkPolicy": &m.policy,
	}
	for part := range strings.SplitSeq(read(t, "kubernetes", "weir.yaml"), "\n---\n") {
		var head struct{ Kind string }
		if err := yaml.Unmarshal([]byte(part), &head); err != nil {
			t.Fatal(err)
		}
		object, ok := kinds[head.Kind]
		if !ok {
			t.Fatalf("an unknown object, or a second one, of the kind %q", head.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(part), object); err != nil {
			t.Fatalf("%s: %v", head.Kind, err)
		}
		delete(kinds, head.Kind)
	}
	if len(kinds) > 0 {
		t.Fatalf("not in the manifest: %v", kinds)
	}
	return m
}

func (m *manifest) pod() corev1.PodTemplateSpec { return m.deployment.Spec.Template }
func (m *manifest) container() *corev1.Container {
	return &m.deployment.Spec.Template.Spec.Containers[0]
}

// config returns the config of the ConfigMap, and its text.
func (m *manifest) config(t *testing.T) (*config.Config, string) {
	t.Helper()
	text := m.configs.Data["weir.yaml"]
	loaded := config.Load([]config.Source{{Path: "weir.yaml", Data: []byte(text)}}, app.Parts().Vocabulary())
	if loaded.Config == nil || len(loaded.Problems) > 0 {
		t.Fatalf("the config of the manifest: %v", loaded.Problems)
	}
	return loaded.Config, text
}

// TestThePodsAreWhatTheManifestSays starts the program as a container of the pod would: with the container's
// arguments and the volumes as kubelet lays them out. It then sends the requests of the probes.
func TestThePodsAreWhatTheManifestSays(t *testing.T) {
	m := manifests(t)
	_, text := m.config(t)
	root := t.TempDir()
	place := map[string]string{}
	for _, v := range m.container().VolumeMounts {
		place[v.MountPath] = filepath.Join(root, v.Name)
	}
	inVolume(t, place["/etc/weir-admin"], "token", "secret")
	inVolume(t, place["/etc/weir"], "weir.yaml", strings.ReplaceAll(text, "/etc/weir-admin", place["/etc/weir-admin"]))
	if err := os.Mkdir(place["/var/lib/weir"], 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(place["/var/lib/weir"], 0o777|os.ModeSetgid); err != nil { // an emptyDir of a pod with fsGroup
		t.Fatal(err)
	}
	arguments := slices.Clone(m.container().Args)
	for i, a := range arguments {
		if at, ok := place[a]; ok {
			arguments[i] = at
		}
	}
	if arguments[0] != "run" {
		t.Fatalf("the arguments are %v", m.container().Args)
	}
	g := weirtest.Start(t, arguments[1], arguments[2:]...)
	await.That(t, "what serves is kept", func() bool {
		kept, err := os.ReadDir(place["/var/lib/weir"])
		return err == nil && len(kept) > 0
	})
	for _, probe := range []*corev1.Probe{m.container().StartupProbe, m.container().LivenessProbe, m.container().ReadinessProbe} {
		if status := get(t, g.Admin, probe.HTTPGet.Path); status != http.StatusOK {
			t.Errorf("%s: %d", probe.HTTPGet.Path, status)
		}
	}
	if status := get(t, g.Admin, "/metrics"); status != http.StatusOK { // the scraper has no token
		t.Errorf("/metrics: %d", status)
	}
	if status := get(t, g.Address, "/hello"); status != http.StatusOK {
		t.Errorf("/hello: %d", status)
	}
}

func get(t *testing.T, address, path string) int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "10.244.0.7" // kubelet and Prometheus address pods by IP
	res, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// inVolume writes a file as kubelet does for ConfigMaps and Secrets: behind two symbolic links, so that all files of
// the volume are replaced at once.
func inVolume(t *testing.T, folder, name, text string) {
	t.Helper()
	const written = "..2026_11_28_06_00_00.1"
	for _, err := range []error{
		os.MkdirAll(filepath.Join(folder, written), 0o755),
		os.WriteFile(filepath.Join(folder, written, name), []byte(text), 0o640),
		os.Symlink(written, filepath.Join(folder, "..data")),
		os.Symlink(filepath.Join("..data", name), filepath.Join(folder, name)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestThePodHasTheLeastPrivileges checks the level "restricted" of Kubernetes' Pod Security Standards, and more.
func TestThePodHasTheLeastPrivileges(t *testing.T) {
	m := manifests(t)
	pod, container := m.pod().Spec, m.container()
	security, own := pod.SecurityContext, container.SecurityContext
	for what, holds := range map[string]bool{
		"the namespace takes no more":   m.namespace.Labels["pod-security.kubernetes.io/enforce"] == "restricted",
		"an account of its own":         pod.ServiceAccountName == m.account.Name && m.account.Name == "weir",
		"its token for this pod only":   *pod.AutomountServiceAccountToken && !*m.account.AutomountServiceAccountToken,
		"not root":                      *security.RunAsNonRoot && *security.RunAsUser > 0,
		"the user of the image":         fmt.Sprintf("[%d:%d]", *security.RunAsUser, *security.RunAsGroup) == fmt.Sprint(one(t, stages(t)[1], "USER")),
		"the runtime's seccomp profile": security.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"no way to more":                !*own.AllowPrivilegeEscalation,
		"no capability":                 slices.Contains(own.Capabilities.Drop, "ALL") && len(own.Capabilities.Add) == 0,
		"nothing to write":              *own.ReadOnlyRootFilesystem,
		"nothing of the machine":        !pod.HostNetwork && !pod.HostPID && !pod.HostIPC,
		"one container":                 len(pod.Containers) == 1 && len(pod.InitContainers) == 0,
		"a bound of memory":             !container.Resources.Limits.Memory().IsZero(),
	} {
		if !holds {
			t.Errorf("not so: %s", what)
		}
	}
}

// TestTheAccountMayLookForEndpointsAndNothingElse checks that the role grants exactly what the provider of endpoints
// requests.
func TestTheAccountMayLookForEndpointsAndNothingElse(t *testing.T) {
	m := manifests(t)
	var may []string
	for _, r := range m.role.Rules {
		may = append(may, fmt.Sprint(r.Verbs, r.APIGroups, r.Resources, r.ResourceNames, r.NonResourceURLs))
	}
	if want := []string{"[list watch] [] [services] [] []", "[list watch] [discovery.k8s.io] [endpointslices] [] []"}; !slices.Equal(may, want) {
		t.Errorf("the role is %q", may)
	}
	if r := m.binding.RoleRef; r.Kind != "ClusterRole" || r.Name != m.role.Name || m.role.AggregationRule != nil {
		t.Errorf("what is bound is %+v", r)
	}
	if s := m.binding.Subjects; len(s) != 1 || s[0].Kind != "ServiceAccount" || s[0].Name != m.account.Name || s[0].Namespace != m.account.Namespace {
		t.Errorf("it is bound to %+v", s)
	}
}

func TestThePartsOfTheManifestFitTogether(t *testing.T) {
	m := manifests(t)
	c, _ := m.config(t)
	ports := map[string]string{}
	for _, p := range m.container().Ports {
		ports[p.Name] = fmt.Sprint(":", p.ContainerPort)
	}
	if ports["http"] != c.Sockets[0].Address || ports["admin"] != c.Admin.Address {
		t.Errorf("the container opens %v, the config %s and %s", ports, c.Sockets[0].Address, c.Admin.Address)
	}
	for _, p := range m.service.Spec.Ports {
		if p.TargetPort.String() != "http" {
			t.Errorf("the service leads to the port %s", p.TargetPort.String())
		}
	}
	for of, selector := range map[string]map[string]string{
		"Deployment": m.deployment.Spec.Selector.MatchLabels, "Service": m.service.Spec.Selector,
		"PodDisruptionBudget": m.budget.Spec.Selector.MatchLabels, "NetworkPolicy": m.policy.Spec.PodSelector.MatchLabels,
		"topologySpreadConstraints": m.pod().Spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels,
	} {
		for key, value := range selector {
			if m.pod().Labels[key] != value {
				t.Errorf("%s selects no pod", of)
			}
		}
	}
	for _, namespace := range []string{m.account.Namespace, m.binding.Namespace, m.configs.Namespace, m.deployment.Namespace, m.budget.Namespace, m.service.Namespace, m.policy.Namespace} {
		if namespace != m.namespace.Name {
			t.Errorf("something is in the namespace %q", namespace)
		}
	}
	if volumes, mounts := len(m.pod().Spec.Volumes), len(m.container().VolumeMounts); volumes != mounts {
		t.Errorf("%d volumes, of which %d are mounted", volumes, mounts)
	}
	if m.pod().Spec.Volumes[0].ConfigMap.Name != m.configs.Name {
		t.Errorf("the config is not that of the ConfigMap %s", m.configs.Name)
	}
	grace := time.Duration(*m.pod().Spec.TerminationGracePeriodSeconds) * time.Second
	if c.Shutdown.Delay == 0 || grace <= c.Shutdown.Delay+c.Shutdown.Drain {
		t.Errorf("killed after %s, and ends in %s and %s", grace, c.Shutdown.Delay, c.Shutdown.Drain)
	}
	if replicas := *m.deployment.Spec.Replicas; int(replicas) <= m.budget.Spec.MaxUnavailable.IntValue() {
		t.Errorf("%d replicas, all of which may be taken away", replicas)
	}
}
