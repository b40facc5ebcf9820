package compile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/control/compile"
	functions "github.com/weir-gateway/weir/internal/function/all"
)

// A function of an app is named by the app's name and its own; that there is such
// a one is told at load.
func TestARouteNamesAFunctionOfAnApp(t *testing.T) {
	w := newWorld(t)
	w.parts.Functions = functions.Definitions()
	for name, text := range map[string]string{
		"hello/go.mod":            "module example.com/hello\n\ngo 1.26\n",
		"hello/main.go":           "package main\n\nfunc main() {}\n",
		"app/host.json":           `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"node"}}}`,
		"app/Hello/function.json": `{"bindings":[{"type":"httpTrigger","direction":"in","name":"req"},{"type":"http","direction":"out","name":"res"}]}`,
	} {
		path := filepath.Join(w.folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const declared = "functions:\n  app: { run: ./app }\n  hello: { run: ./hello }\n"
	for to, want := range map[string]string{
		"fn:app":       "",
		"fn:app/Hello": "",
		"fn:app/Bye":   `"Bye" names a function within "app": the app has no function "Bye"; it has Hello`,
		"fn:hello/x":   `"x" names a function within "hello": it is one function (contract http), and only an Azure Functions app has functions to choose from`,
	} {
		_, problems := compile.Check(w.parts, w.load("routes:\n  GET /x: "+to+"\n"+declared), "")
		if want == "" && len(problems) > 0 || want != "" && (len(problems) != 1 || !strings.Contains(problems[0].String(), want)) {
			t.Errorf("%s: the problems are %v, want %q", to, problems, want)
		}
	}
}

// What a function's own route needs, and the gateway's route captures by no such name, would
// be missing with each request.
func TestARouteCapturesWhatAFunctionOfAzureNeeds(t *testing.T) {
	w := newWorld(t)
	w.parts.Functions = functions.Definitions()
	const declared = `
functions:
  market:
    azure: market
    routes: { price: "prices/{item:alpha}", stock: "stock/{item?}", files: "files/{*path}" }
`
	for route, want := range map[string]string{
		"GET /q/**: azure:market/price":                                          "weir.yaml:3:14: backend \"azure:market/price\"; the function's own route needs {item}, which /q/** does not capture",
		"GET /q/{sort}: azure:market/price":                                      "the function's own route needs {item}",
		"GET /q/{item}: azure:market/price":                                      "",
		"GET /api/prices/{thing}: azure:market/price":                            "",
		"GET /API/**: azure:market/price":                                        "",
		"GET /api/stock/**: azure:market/price":                                  "the function's own route needs {item}",
		"\"GET {item}.shop.dev/q\": azure:market/price":                          "",
		"GET /q: azure:market/stock":                                             "",
		"GET /q/{item}/**: azure:market/stock":                                   "",
		"GET /q/{sort...}: azure:market/stock":                                   "would be dropped; end the route's path in {item...}",
		"GET /q/**: azure:market/files":                                          "would be dropped; end the route's path in {path...}",
		"GET /q/{path...}: azure:market/files":                                   "",
		"GET /q/**: azure:market/orders":                                         "",
		"GET /q/**: azure:market":                                                "",
		"GET /q/**: { rewrite: \"/api/prices/**\", to: \"azure:market/price\" }": "",
	} {
		_, problems := compile.Check(w.parts, w.load("routes:\n  "+route+declared), "")
		if want == "" && len(problems) > 0 || want != "" && (len(problems) != 1 || !strings.Contains(problems[0].String(), want)) {
			t.Errorf("%s: the problems are %v, want %q", route, problems, want)
		}
	}
}
