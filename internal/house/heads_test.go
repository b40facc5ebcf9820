package house_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// borders are the files that may look into the header maps of net/http, with the
// reason of each. A folder ends with a slash.
//
// DO NOT ADD A FILE TO MAKE A BUILD PASS. Rule 1 of package exchange says how heads
// and trailers are read, changed and made.
var borders = map[string]string{
	"internal/base/exchange/message.go":            "the adapter: where messages and heads meet",
	"internal/base/exchange/lines.go":              "the adapter: a Head over the lines of a map",
	"internal/base/exchange/maps.go":               "the adapter: a Head over the fields of a map",
	"internal/base/exchange/hints.go":              "the adapter: the hook of net/http's client for 1xx responses",
	"internal/base/field/known.go":                 "the names of fields, among them Trailer",
	"internal/wire/":                               "sockets and connections: below the adapter stand net/http's server and client",
	"internal/traffic/dir/serve.go":                "http.ServeContent wants a map, and a writer that has one",
	"internal/filter/transform/media/multipart.go": "the heads of parts are MIME's own, and of no message",
	"internal/control/admin/":                      "a plain server for operators, no part of the data path",
	"internal/base/telemetry/scrape.go":            "what that server answers to scrapes, as promhttp does",
}

// mapNames are the names that header maps and their fields have, whatever they
// belong to, and what to use instead.
var mapNames = map[string]string{
	"Header":     "use exchange.RequestHead, ResponseHead, Writer.Head or Head",
	"Trailer":    "use exchange.RequestTrailer, ResponseTrailer, AnnounceTrailers or Writer.AddTrailer",
	"MIMEHeader": "use exchange.Head",
}

// mapCalls are methods, and functions of net/http, that look into header maps.
var mapCalls = map[string]string{
	"AddCookie":           "use exchange.RequestHead",
	"BasicAuth":           "read Authorization from exchange.RequestHead",
	"Cookie":              "use httpx.CookieLookup on exchange.RequestHead",
	"Cookies":             "use httpx.CookieLookup on exchange.RequestHead",
	"CookiesNamed":        "use httpx.CookieLookup on exchange.RequestHead",
	"FormValue":           "it looks at Content-Type in the map",
	"MultipartReader":     "it looks at Content-Type in the map",
	"ParseForm":           "it looks at Content-Type in the map",
	"ParseMultipartForm":  "it looks at Content-Type in the map",
	"PostFormValue":       "it looks at Content-Type in the map",
	"Referer":             "read Referer from exchange.RequestHead",
	"UserAgent":           "read User-Agent from exchange.RequestHead",
	"http.Error":          "return a fault",
	"http.FileServer":     "it looks into the maps of request and writer",
	"http.FileServerFS":   "it looks into the maps of request and writer",
	"http.MaxBytesReader": "it sets Connection in the map of the writer",
	"http.NotFound":       "return a fault",
	"http.Redirect":       "use exchange.NewResponse",
	"http.ServeContent":   "it looks into the maps of request and writer",
	"http.ServeFile":      "it looks into the maps of request and writer",
	"http.ServeFileFS":    "it looks into the maps of request and writer",
	"http.SetCookie":      "use exchange.Head",
}

// usesOfMaps gives the places in a file that look into header maps, and why not.
func usesOfMaps(fset *token.FileSet, file *ast.File) []string {
	var found []string
	report := func(at token.Pos, name, instead string) {
		found = append(found, fmt.Sprintf("%s: %s: %s", fset.Position(at), name, instead))
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if instead := mapNames[n.Sel.Name]; instead != "" && !isName(n) {
				report(n.Pos(), n.Sel.Name, instead)
			}
		case *ast.CallExpr:
			if name := called(n); mapCalls[name] != "" {
				report(n.Pos(), name, mapCalls[name])
			}
		case *ast.KeyValueExpr: // of a struct literal: http.Response{Header: h}
			if key, ok := n.Key.(*ast.Ident); ok && mapNames[key.Name] != "" {
				report(n.Pos(), key.Name, "use exchange.NewRequest or NewResponse")
			}
		}
		return true
	})
	return found
}

// isName tells of the name of a field, which package field has by what the field is called.
func isName(n *ast.SelectorExpr) bool {
	of, ok := n.X.(*ast.Ident)
	return ok && of.Name == "field"
}

// called gives the name of a method, or that of a function of net/http with its package.
func called(call *ast.CallExpr) string {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if x, ok := f.X.(*ast.Ident); ok && x.Name == "http" {
		return "http." + f.Sel.Name
	}
	return f.Sel.Name
}

func border(file string) string {
	for name := range borders {
		if file == name || strings.HasSuffix(name, "/") && strings.HasPrefix(file, name) {
			return name
		}
	}
	return ""
}

// TestHeadsAreReadThroughTheContract holds rule 1 of package exchange for every
// file that is not a border, and that each border still is one.
func TestHeadsAreReadThroughTheContract(t *testing.T) {
	root := filepath.Join("..", "..")
	unused := map[string]bool{}
	for name := range borders {
		unused[name] = true
	}
	files := 0
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case entry.IsDir() && (rel == "test" || rel == "examples"):
			return filepath.SkipDir // what they hold is outside of the gateway
		case entry.IsDir():
			return skipFolder(root, name)
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		files++
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		found := usesOfMaps(fset, file)
		if b := border(rel); b != "" {
			unused[b] = unused[b] && len(found) == 0
			return nil
		}
		for _, use := range found {
			t.Error(use)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 {
		t.Errorf("only %d files found: this test looks in the wrong place", files)
	}
	for name, idle := range unused {
		if idle {
			t.Errorf("%s is a border (%s) but looks into no header map: take it off the list", name, borders[name])
		}
	}
}

// The test above can fail: each of these lines is one that it must find.
func TestUsesOfHeaderMapsAreFound(t *testing.T) {
	for line, uses := range map[string]int{
		`_ = r.Header.Get("A")`:                                 1,
		`h := w.Header(); h["A"] = nil`:                         1,
		`res.Trailer["A"] = nil`:                                1,
		`var h http.Header; _ = h`:                              1,
		`_ = &http.Response{Header: nil, Trailer: h}`:           2,
		`var h textproto.MIMEHeader; _ = h`:                     1,
		`_, _, _ = r.BasicAuth()`:                               1,
		`http.Error(w, "no", 500)`:                              1,
		`exchange.RequestHead(r).Set("Header", "Trailer")`:      0,
		`_ = exchange.ResponseTrailer(res); h.Headers()`:        0,
		`Header, Cookie := 1, 2; _, _ = Header, Cookie`:         0,
		`_ = map[string]int{"Header": 1}; log.Error("no", err)`: 0,
	} {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, "a.go", "package a\nfunc f() {\n"+line+"\n}\n", 0)
		if err != nil {
			t.Fatal(err)
		}
		if found := usesOfMaps(fset, file); len(found) != uses {
			t.Errorf("%s: found %d, not %d: %q", line, len(found), uses, found)
		}
	}
	files := []string{"internal/wire/http1/vet.go", "internal/wired/a.go", "internal/traffic/dir/dir.go"}
	if got := slices.DeleteFunc(slices.Clone(files), func(f string) bool { return border(f) == "" }); !slices.Equal(got, files[:1]) {
		t.Errorf("borders among them are %q", got)
	}
}
