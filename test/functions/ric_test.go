package functions

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local"
)

var ric = flag.Bool("ric", false, "compare our bootstrap with AWS's own client for Node.js, which is compiled for it (cmake, a few minutes)")

// outcome is the result of a request, without what differs from run to run.
type outcome struct {
	Status     int
	Kind, Body string
	Fault      string // the problem's code
	Error      string // the error type that the function reported
	Broken     bool   // the body was cut off
}

func outcomeOf(b function.Backend, r *http.Request) outcome {
	res, err := b.RoundTrip(r)
	if err != nil {
		return failed(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	return outcome{Status: res.StatusCode, Kind: exchange.ResponseHead(res).Get("Content-Type"), Body: string(raw), Broken: err != nil}
}

func failed(err error) outcome {
	var o outcome
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		o.Fault = f.Code
	}
	if said, ok := errors.AsType[*function.Failure](err); ok {
		o.Error = said.Type
	}
	return o
}

// handlersUnderTest are the handlers with which our own bootstrap is tested.
const handlersUnderTest = "../../internal/function/local/testdata/node"

// underRIC makes a folder with the same modules and a bootstrap that runs AWS's client.
func underRIC(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	install.Dir = "ric"
	if _, err := os.Stat("ric/node_modules/.package-lock.json"); err != nil {
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	client, err := filepath.Abs("ric/node_modules/aws-lambda-ric/bin/index.mjs")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(handlersUnderTest)); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nexec %q %q \"$_HANDLER\"\n", node, client)
	if err := os.WriteFile(filepath.Join(folder, "bootstrap"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestOurBootstrapAnswersAsAWSsDoes runs the same handlers with both.
func TestOurBootstrapAnswersAsAWSsDoes(t *testing.T) {
	if !*ric {
		t.Skip("make functions-ric plays it")
	}
	folder := underRIC(t)
	tests := map[string][]string{
		"index.handler":             {"/", "/undefined", "/never", "/greeting", "/throw", "/throw-text", "/own-error", "/circular", "/unhandled", "/uncaught", "/exit"},
		"index.callback":            {"/", "/error", "/nothing", "/succeed", "/fail", "/late"},
		"index.stream":              {"/", "/raw", "/large", "/midway"}, // without "/before", which differs: AWS's client has sent a head by then, and can only break off
		"index.nested.deep.handler": {"/"},
		"index.missing":             {"/"},
		"index.text":                {"/"},
		"broken.handler":            {"/"},
		"lost.handler":              {"/"},
		"missing.handler":           {"/"},
		"thrower.handler":           {"/"},
	}
	for handler, paths := range tests {
		t.Run(handler, func(t *testing.T) {
			patient := func(c *local.Config) { c.Handler, c.Scale.Max = handler, 1 }
			ours, theirs := start(t, handlersUnderTest, patient), start(t, folder, patient)
			for _, path := range paths {
				got, want := outcomeOf(ours, request(path, "hello")), outcomeOf(theirs, request(path, "hello"))
				if got != want {
					t.Errorf("%s: ours gives %+v\ntheirs %+v", path, got, want)
				}
			}
		})
	}
}
