// Package deploy_test holds what stands in deploy to what the gateway is: manifests are read with Kubernetes' own
// types, their config is served by the program itself, and units go through systemd's own check. What looks at
// metrics is held by test/alerts.
package deploy_test

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/test/weirtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		weirtest.Cleanup()
		os.Exit(code)
	}))
}

// read gives a file of the folder deploy.
func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{weirtest.Root(), "deploy"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
