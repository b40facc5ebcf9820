// Package deploy_test checks the files in deploy against the gateway: manifests are parsed with Kubernetes' own
// types, their config is served by the program itself, and units go through systemd's own check. Files that use
// metrics are tested in test/alerts.
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

// read returns a file of the folder deploy.
func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{weirtest.Root(), "deploy"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
