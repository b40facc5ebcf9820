//go:build linux

// Package lifecycle_test checks what must be true when the gateway itself ends, whether it shuts down or is killed
// without time for anything. It reads /proc.
package lifecycle_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	weirtest.Cleanup()
	os.Exit(code)
}

// function builds one of the functions in the test data of function/local.
func function(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	out, err := exec.Command("go", "build", "-o", path, "github.com/weir-gateway/weir/internal/function/local/testdata/"+name).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func config(t *testing.T, program string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.yaml")
	text := fmt.Sprintf("listen: :8080\nroutes:\n  ANY /**:\n    to: fn:web\nfunctions:\n  web:\n    run: %s\n    contract: http\n    scale: { max: 4, concurrency: 1 }\n", program)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func get(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d %q %v", res.StatusCode, body, err)
	}
	return string(body)
}

// family returns the processes that carry the mark of function instances and run program.
func family(t *testing.T, program string) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		command, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline") // it may have ended meanwhile
		if bytes.HasPrefix(command, []byte(program)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func startWithInstance(t *testing.T) (*weirtest.Gateway, string) {
	t.Helper()
	program := function(t, "web")
	g := weirtest.Start(t, config(t, program))
	var answer struct{ Pid int }
	if err := json.Unmarshal([]byte(get(t, "http://"+g.Address+"/pid")), &answer); err != nil {
		t.Fatal(err)
	}
	if pids := family(t, program); len(pids) != 1 || pids[0] != answer.Pid {
		t.Fatalf("instances %v, want %d alone", pids, answer.Pid)
	}
	return g, program
}

// A busy machine may need more than a second for other things, but hardly in most attempts.
func TestAKilledGatewayLeavesNoFunctionAliveForASecond(t *testing.T) {
	const most = 3 // of five
	var quick, slow []time.Duration
	for len(quick) < most {
		g, program := startWithInstance(t)
		g.Kill()
		killed := time.Now()
		await.That(t, "no function is left", func() bool { return len(family(t, program)) == 0 })
		if took := time.Since(killed); took <= time.Second {
			quick = append(quick, took)
		} else {
			slow = append(slow, took)
		}
		if len(slow) == most {
			t.Fatalf("it took %s, and %s", slow, quick)
		}
	}
}

func TestAnEndingGatewayEndsItsFunctions(t *testing.T) {
	g, program := startWithInstance(t)
	g.Stop(t)
	if pids := family(t, program); len(pids) > 0 {
		t.Errorf("still alive: %v", pids)
	}
}

func TestAKilledInstanceIsReplaced(t *testing.T) {
	g, program := startWithInstance(t)
	before := family(t, program)[0]
	p, err := os.FindProcess(before)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	lost := 0 // requests that the process received before it was known to end
	await.That(t, "another instance answers", func() bool {
		res, err := http.Get("http://" + g.Address + "/pid")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			lost++
			return false
		}
		var answer struct{ Pid int }
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return answer.Pid != before
	})
	if lost > 1 {
		t.Errorf("one kill cost %d requests in a row", lost)
	}
}

func TestGatewaysEnvironmentStaysItsOwn(t *testing.T) {
	t.Setenv("WEIR_TEST_SECRET", "swordfish")
	g, _ := startWithInstance(t)
	if env := get(t, "http://"+g.Address+"/env"); strings.Contains(env, "swordfish") {
		t.Errorf("the function sees the gateway's environment: %s", env)
	}
}
