package compile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/control/compile"
	functions "github.com/weir-gateway/weir/internal/function/all"
)

// What a function needs of this machine is no mistake in the config: the others
// serve, and so does the config on another machine.
func TestACheckWarnsOfAnInterpreterThatIsNotThere(t *testing.T) {
	w := newWorld(t)
	w.parts.Functions = functions.Definitions()
	if err := os.WriteFile(filepath.Join(w.folder, "tea.mjs"), []byte("export const handler = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", t.TempDir())
	const text = "functions:\n  tea: { run: ./tea.mjs }\nroutes:\n  GET /a: fn:tea\n  GET /b: fn:tea\n"
	checked, problems := compile.Check(w.parts, w.load(text), "")
	const want = `the function "tea" needs Node.js, and there is no node on the gateway's PATH; ` +
		"until then its requests get 503 function-init-failed; install Node.js, or start the gateway with a PATH that has it"
	if checked == nil || len(problems) != 1 || problems[0].Severity != doc.Warning || !strings.HasSuffix(problems[0].String(), want) {
		t.Errorf("the problems are %v, want %q", problems, want)
	}
}
