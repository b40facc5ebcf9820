package cluster

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-gateway/weir/internal/base/await"
)

// Where the parts of a cluster with pods are.
const (
	nodeAddress = "10.251.0.1"
	socketName  = "containerd.sock"
)

// Names of the users of the API server in a cluster.
const (
	manager   = "system:kube-controller-manager"
	scheduler = "system:kube-scheduler"
	kubelet   = "system:node:node1"
	proxy     = "system:kube-proxy"
)

// Node is a single-machine cluster, on this machine, that runs pods.
type Node struct {
	*Control

	tb       testing.TB
	folder   string
	parts    []*Process // in the order in which they were started
	networks []string   // that existed before
	settings map[string][]byte
}

// StartNode runs a whole cluster, which ends with the test. It must be called as root in a network namespace of its
// own, and needs containerd, runc, the CNI plugins and nftables.
func StartNode(tb testing.TB) *Node {
	tb.Helper()
	program, err := Program(true)
	if err != nil {
		tb.Fatal(err)
	}
	for _, needed := range []string{program, "/usr/bin/containerd", "/usr/sbin/runc", "/usr/lib/cni/bridge", "/usr/sbin/nft"} {
		if _, err := os.Stat(needed); err != nil {
			tb.Skipf("%v; `make cluster` gets and builds what is needed", err)
		}
	}
	folder, err := os.MkdirTemp("", "weir-node-") //nolint:usetesting // what is mounted there is unmounted before it is removed
	if err != nil {
		tb.Fatal(err)
	}
	n := &Node{tb: tb, folder: folder, networks: networks()}
	n.remember("/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/panic", "/proc/sys/kernel/panic_on_oops")
	for _, line := range []string{
		"link add node0 type bridge", "addr add " + nodeAddress + "/24 dev node0", "link set node0 up", "route add default dev node0",
	} {
		n.run("ip", strings.Fields(line)...)
	}
	n.Control = newControl(tb, program, []string{manager, scheduler, kubelet + ",,system:nodes", proxy}, nodeAddress,
		"--bind-address=0.0.0.0", "--advertise-address="+nodeAddress, "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true")
	tb.Cleanup(n.end)
	n.start()
	n.part(program, "kube-controller-manager", "--kubeconfig="+n.Kubeconfig(manager), "--leader-elect=false", "--use-service-account-credentials=true",
		"--service-account-private-key-file="+n.path("account.key"), "--root-ca-file="+n.path("server.crt"), "--allocate-node-cidrs=true",
		"--cluster-cidr=10.244.0.0/16", "--bind-address=127.0.0.1", "--cert-dir="+n.folder)
	n.part(program, "kube-scheduler", "--kubeconfig="+n.Kubeconfig(scheduler), "--leader-elect=false", "--bind-address=127.0.0.1", "--cert-dir="+n.folder)
	n.containers()
	n.part(program, "kubelet", "--config="+n.config("kubelet.yaml", kubeletConfig, n.folder), "--kubeconfig="+n.Kubeconfig(kubelet), "--hostname-override=node1",
		"--node-ip="+nodeAddress, "--root-dir="+filepath.Join(n.folder, "kubelet"), "--cert-dir="+n.folder)
	n.part(program, "kube-proxy", "--config="+n.config("proxy.yaml", proxyConfig, n.Kubeconfig(proxy)))
	n.until("the node is ready", func() bool {
		node, err := n.Client().CoreV1().Nodes().Get(tb.Context(), "node1", metav1.GetOptions{})
		if err != nil {
			return false
		}
		return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		})
	})
	return n
}

// containers runs containerd and gives it the image for the pods' networks.
func (n *Node) containers() {
	n.tb.Helper()
	if err := os.MkdirAll(filepath.Join(n.folder, "cni"), 0o750); err != nil {
		n.tb.Fatal(err)
	}
	n.config("cni/10-pods.conflist", podNetwork, n.folder)
	n.part("/usr/bin/containerd", "--config", n.config("containerd.toml", containerdConfig, n.folder))
	n.until("containerd answers", func() bool { return n.ctr("version").Run() == nil })
}

// Load gives the node an image with one static program.
func (n *Node) Load(name, program string, entry ...string) {
	n.tb.Helper()
	if out, err := n.ctr("images", "import", n.image(name, program, entry...)).CombinedOutput(); err != nil {
		n.tb.Fatalf("%v\n%s", err, out)
	}
}

func (n *Node) ctr(arguments ...string) *exec.Cmd {
	return exec.Command("ctr", append([]string{"-a", filepath.Join(n.folder, socketName), "-n", "k8s.io"}, arguments...)...) //nolint:noctx // it ends
}

// part starts a part of the node.
func (n *Node) part(program string, arguments ...string) {
	n.tb.Helper()
	p := &Process{tb: n.tb, name: arguments[0], program: program, arguments: arguments}
	p.Start()
	n.parts = append(n.parts, p)
}

// until waits longer than elsewhere, because images are unpacked and pods started meanwhile.
func (n *Node) until(what string, condition func() bool) {
	n.tb.Helper()
	for deadline := time.Now().Add(4 * await.Patience); !condition(); {
		if time.Now().After(deadline) {
			n.tb.Fatalf("not in time: %s", what)
		}
		<-time.After(100 * time.Millisecond)
	}
}

func (n *Node) run(program string, arguments ...string) {
	n.tb.Helper()
	if out, err := exec.Command(program, arguments...).CombinedOutput(); err != nil { //nolint:noctx // it ends at once
		n.tb.Fatalf("%s %v: %v %s", program, arguments, err, out)
	}
}

func (n *Node) config(name, form string, of ...any) string {
	n.tb.Helper()
	path := filepath.Join(n.folder, name)
	if err := os.WriteFile(path, fmt.Appendf(nil, form, of...), 0o600); err != nil {
		n.tb.Fatal(err)
	}
	return path
}

// remember records settings of the machine that kubelet changes.
func (n *Node) remember(paths ...string) {
	n.tb.Helper()
	n.settings = map[string][]byte{}
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			n.tb.Fatal(err)
		}
		n.settings[p] = text
	}
}

// end ends kubelet first, so that it does not start anything again, then the pods, then the rest.
func (n *Node) end() {
	slices.Reverse(n.parts)
	containerd := slices.IndexFunc(n.parts, func(p *Process) bool { return filepath.Base(p.program) == "containerd" })
	for i, p := range n.parts {
		if i != containerd {
			p.Kill()
		}
	}
	n.Control.end()
	if containerd >= 0 {
		n.endContainers()
		n.parts[containerd].Kill()
	}
	for path, text := range n.settings {
		_ = os.WriteFile(path, text, 0o600)
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	var own []string
	for line := range strings.Lines(string(mounts)) {
		if at := strings.Fields(line)[1]; strings.HasPrefix(at, n.folder) {
			own = append(own, at)
		}
	}
	slices.Sort(own)
	slices.Reverse(own)
	for _, at := range own {
		_ = syscall.Unmount(at, syscall.MNT_DETACH)
	}
	for _, name := range networks() {
		if !slices.Contains(n.networks, name) {
			_ = exec.Command("ip", "netns", "del", name).Run() //nolint:noctx // it ends at once
		}
	}
	_ = os.RemoveAll(n.folder)
}

// endContainers kills the containers, and the shims that hold them, which are recognised by their folder.
func (n *Node) endContainers() {
	tasks, _ := n.ctr("tasks", "ls", "-q").Output()
	for task := range strings.FieldsSeq(string(tasks)) {
		_ = n.ctr("tasks", "kill", "-s", "SIGKILL", task).Run()
	}
	for _, p := range processes() {
		if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p)); bytes.Contains(text, []byte("containerd-shim")) && bytes.Contains(text, []byte(n.folder)) {
			_ = syscall.Kill(p, syscall.SIGKILL)
		}
	}
}

func processes() []int {
	entries, _ := os.ReadDir("/proc")
	var list []int
	for _, e := range entries {
		if id, err := strconv.Atoi(e.Name()); err == nil {
			list = append(list, id)
		}
	}
	return list
}

// networks returns the named network namespaces; containerd makes one for each pod.
func networks() []string {
	entries, _ := os.ReadDir("/run/netns")
	var list []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "cni-") {
			list = append(list, e.Name())
		}
	}
	return list
}
