package lifecycle_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

// A new version of a function is started beside the one that serves. If the gateway ends at that moment, the new
// version is not in use yet, and must end too.
func TestAVersionThatIsBeingStartedEndsWithTheGateway(t *testing.T) {
	for name, end := range map[string]func(*weirtest.Gateway){
		"asked to end": func(g *weirtest.Gateway) { g.Stop(t) },
		"killed":       func(g *weirtest.Gateway) { g.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			function, config, mark := filepath.Join(folder, "function"), filepath.Join(folder, "weir.yaml"), "VERSION_TEST="+filepath.Base(folder)+name
			write := func(path, text string) {
				if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			write(function, "#!/bin/sh\nexec sleep 600\n")
			variable, value, _ := strings.Cut(mark, "=")
			write(config, fmt.Sprintf("listen: :8080\nroutes:\n  GET /: fn:one\nfunctions:\n  one: { run: %s, contract: http, init: 10m, env: { %s: %q } }\n", function, variable, value))
			g := weirtest.Start(t, config)
			await.That(t, "the version is known", func() bool { return strings.Contains(metrics(t, g), "weir_function_info{") })
			write(function, "#!/bin/sh\nsleep 601 & exec sleep 600\n") // it never answers on its port
			await.That(t, "the new version is being started, with a child", func() bool { return len(marked(t, mark)) == 2 })
			end(g)
			await.That(t, "nothing of it is left", func() bool { return len(marked(t, mark)) == 0 })
		})
	}
}

func metrics(t *testing.T, g *weirtest.Gateway) string {
	t.Helper()
	res, err := http.Get("http://" + g.Admin + "/metrics") //nolint:noctx // it ends with the test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// marked returns the living processes that have the variable in their environment.
func marked(t *testing.T, variable string) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil || !strings.Contains("\x00"+string(raw), "\x00"+variable+"\x00") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && !weirtest.Gone(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}
