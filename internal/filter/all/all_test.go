package all_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/auth"
	auths "github.com/weir-gateway/weir/internal/auth/all"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/all"
)

func TestEveryFilterIsComplete(t *testing.T) {
	t.Parallel()
	definitions := all.Definitions()
	if !slices.IsSortedFunc(definitions, func(a, b filter.Definition) int { return int(a.Stage - b.Stage) }) {
		t.Error("the list is not in the order of the stages")
	}
	seen := map[string]bool{}
	for _, d := range definitions {
		if d.Name == "" || d.Summary == "" || seen[d.Name] {
			t.Errorf("%q has no name of its own or no summary", d.Name)
		}
		seen[d.Name] = true
		if first, second := d.New(), d.New(); first == nil || first == second {
			t.Errorf("%s: New gives no fresh config", d.Name)
		}
		if _, err := d.Build(filter.Env{}, struct{}{}); err == nil {
			t.Errorf("%s: a config of another kind is taken", d.Name)
		}
		for _, heading := range []string{"# " + d.Name, "## What it does", "## Config", "## Examples", "## Notes"} {
			if !strings.Contains(readme(t, d.Name), heading+"\n") {
				t.Errorf("%s/README.md has no %q", d.Name, heading)
			}
		}
	}
	if kinds := all.Kinds(); len(kinds) != len(definitions) || kinds[0].Name != definitions[0].Name {
		t.Errorf("kinds %v", kinds)
	}
}

// TestExamplesOfTheDocsAreValid loads every example and builds its filters.
func TestExamplesOfTheDocsAreValid(t *testing.T) {
	t.Parallel()
	vocabulary := config.Vocabulary{
		Filters: all.Kinds(), Auths: authKinds(),
		Schemes: []config.Scheme{
			{Name: "http", Example: "http://users:8080", Check: func(config.Ref) error { return nil }}, {Name: "https", Example: "https://users", Check: func(config.Ref) error { return nil }},
		},
	}
	for _, d := range all.Definitions() {
		examples := yamlBlocks(readme(t, d.Name))
		if len(examples) < 2 {
			t.Errorf("%s has %d examples", d.Name, len(examples))
		}
		for _, example := range examples {
			result := config.Load([]config.Source{{Path: d.Name + ".yaml", Data: []byte(example)}}, vocabulary)
			if len(result.Problems) > 0 {
				t.Errorf("%s: %v\n%s", d.Name, result.Problems, example)
				continue
			}
			build(t, d.Name, result.Config)
		}
	}
}

// authKinds are those that examples of the filter auth declare.
func authKinds() []config.Kind {
	var kinds []config.Kind
	for _, d := range auths.Definitions() {
		kinds = append(kinds, d.Vocabulary())
	}
	return kinds
}

// way stands in for what the compiler builds of an element of auth.
func way(name string) (auth.Way, error) { return auth.Way{Name: name}, nil }

// saysSo are the filters whose code was read, down to all that it calls, and keeps nothing of what passes it (filter.Policy.KeepsNothing).
// Who changes one of them has to see that this stays so.
var saysSo = []string{"allow", "body", "cors", "csrf", "headers", "ip", "limit", "rewrite", "secure_headers"}

// build builds all filters of a config; one of them has to be the one that is shown.
func build(t *testing.T, shown string, c *config.Config) {
	t.Helper()
	found := false
	for _, r := range c.Routes {
		filters := slices.Clone(r.Filters)
		for _, b := range r.Backends {
			filters = append(filters, b.Filters...)
		}
		for _, f := range filters {
			found = found || f.Name == shown
			i := slices.IndexFunc(all.Definitions(), func(d filter.Definition) bool { return d.Name == f.Name })
			if i < 0 {
				t.Errorf("there is no filter %s", f.Name)
				continue
			}
			reads(t, all.Definitions()[i], f.Config)
			p, err := all.Definitions()[i].Build(filter.Env{Secret: secret.Placeholder, Keep: keepNothing, Auth: way, Backend: backend, Authority: "a.lambda-url.eu-west-1.on.aws", Hosts: noHosts}, f.Config)
			if err != nil || p.Guard == nil && p.Adapt == nil {
				t.Errorf("%s: %v", f.Name, err)
			}
			if p.KeepsNothing != slices.Contains(saysSo, f.Name) {
				t.Errorf("%s says that it keeps nothing: %t", f.Name, p.KeepsNothing)
			}
		}
	}
	if !found {
		t.Errorf("an example of %s does not show it", shown)
	}
}

// backend stands in for what the compiler resolves.
func backend(config.Ref) (http.RoundTripper, error) { return http.DefaultTransport, nil }

// noHosts are the names of a route that has none.
func noHosts() []string { return nil }

// keepNothing is what a config that is only checked keeps.
func keepNothing(string, func() (any, func(context.Context), error)) (any, error) { return nil, nil }

// reads holds that a config is printed as it is read.
func reads(t *testing.T, d filter.Definition, c any) {
	t.Helper()
	printed := doc.Encode(c)
	for line := range strings.Lines(string(printed)) {
		if _, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && slices.Contains([]string{"''", "0", "0s", "false", "[]", "{}"}, value) {
			t.Errorf("%s prints what nobody said: %s", d.Name, line)
		}
	}
	var ps doc.Problems
	again := d.New()
	doc.Decode(doc.Parse("printed.yaml", printed, &ps), again, &ps)
	if list := ps.Sorted(); len(list) > 0 {
		t.Errorf("%s is printed as\n%s%v", d.Name, printed, list)
	} else if second := doc.Encode(again); !bytes.Equal(second, printed) {
		t.Errorf("%s is printed as\n%sand then as\n%s", d.Name, printed, second)
	}
}

func readme(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", strings.ReplaceAll(name, "_", ""), "README.md")) // packages have no _
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// yamlBlocks gives what stands between ```yaml and ```.
func yamlBlocks(text string) []string {
	var blocks []string
	for {
		_, after, ok := strings.Cut(text, "```yaml\n")
		if !ok {
			return blocks
		}
		block, rest, _ := strings.Cut(after, "```")
		blocks, text = append(blocks, block), rest
	}
}

// TestGroupsSecretsOfFieldsNeedAGrant holds that a group cannot send a secret of
// others to a backend of its own.
func TestGroupsSecretsOfFieldsNeedAGrant(t *testing.T) {
	t.Parallel()
	vocabulary := config.Vocabulary{Filters: all.Kinds(), Schemes: []config.Scheme{{Name: "http", Example: "http://users:8080"}}}
	for name, granted := range map[string]bool{"SHOP_TOKEN": true, "ADMIN_TOKEN": false} {
		text := `
listen: :8080
groups:
  shop:
    secrets: ["env:SHOP_*"]
    routes:
      GET /:
        headers: { request: { set: { Authorization: "Bearer ${env:` + name + `}" } } }
        to:
          - http://a:1
          - { share: 5%, use: "http://b:1", headers: { request: { add: { X-Key: "${env:` + name + `}" } } } }
`
		result := config.Load([]config.Source{{Path: "weir.yaml", Data: []byte(text)}}, vocabulary)
		denied := 0
		for _, p := range result.Problems {
			if strings.Contains(p.String(), `may not reach the secret "env:`+name+`"`) {
				denied++
			}
		}
		if want := map[bool]int{true: 0, false: 2}[granted]; denied != want || len(result.Problems) != want {
			t.Errorf("%s: %v", name, result.Problems)
		}
	}
}

// TestEditorsKnowEveryKey holds that the schema of each filter has the keys of its
// config, no others, and says what may stand under each.
func TestEditorsKnowEveryKey(t *testing.T) {
	t.Parallel()
	defs := map[string]*doc.Schema{}
	for _, p := range config.Schema(config.Vocabulary{Filters: all.Kinds()}).Defs {
		defs[p.Name] = p.Schema
	}
	for _, d := range all.Definitions() {
		schema := defs["filter."+d.Name]
		if schema == nil {
			t.Errorf("%s has no schema", d.Name)
			continue
		}
		got, want := once(keys(schema, defs)), once(tags(reflect.TypeOf(d.New())))
		if !slices.Equal(got, want) || len(want) == 0 {
			t.Errorf("%s: the schema has the keys %v, the config %v", d.Name, got, want)
		}
		open(t, d.Name, schema, defs, 0)
	}
}

// once sorts a list and names each key once.
func once(keys []string) []string {
	slices.Sort(keys)
	return slices.Compact(keys)
}

// keys are those of a schema's maps, and of lists of them.
func keys(s *doc.Schema, defs map[string]*doc.Schema) []string {
	s = resolve(s, defs)
	var list []string
	for _, p := range s.Properties {
		list = append(list, p.Name)
		for _, inner := range keys(p.Schema, defs) {
			list = append(list, p.Name+"."+inner)
		}
	}
	for _, option := range s.AnyOf {
		list = append(list, keys(option, defs)...)
	}
	if s.Items != nil {
		list = append(list, keys(s.Items, defs)...)
	}
	return list
}

// tags are the keys that the tags of t name, those of its structs with them.
func tags(t reflect.Type) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	var list []string
	if t.Kind() != reflect.Struct {
		return nil
	}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("doc"), ",")
		if options == "inline" {
			list = append(list, tags(f.Type)...)
		}
		if name == "" || name == "-" {
			continue
		}
		list = append(list, name)
		for _, inner := range tags(f.Type) {
			list = append(list, name+"."+inner)
		}
	}
	return list
}

// open reports the places of s where nothing is said of what may stand there.
func open(t *testing.T, at string, s *doc.Schema, defs map[string]*doc.Schema, depth int) {
	t.Helper()
	s = resolve(s, defs)
	if depth > 16 {
		t.Fatalf("%s does not end", at)
	}
	if s.Type == nil && s.AnyOf == nil && s.Enum == nil {
		t.Errorf("%s: the schema says nothing", at)
	}
	for _, p := range s.Properties {
		open(t, at+"."+p.Name, p.Schema, defs, depth+1)
	}
	for _, option := range s.AnyOf {
		open(t, at, option, defs, depth+1)
	}
	if s.Items != nil {
		open(t, at+"[]", s.Items, defs, depth+1)
	}
	if values, ok := s.AdditionalProperties.(*doc.Schema); ok {
		open(t, at+"{}", values, defs, depth+1)
	}
}

func resolve(s *doc.Schema, defs map[string]*doc.Schema) *doc.Schema {
	if name, ok := strings.CutPrefix(s.Ref, "#/$defs/"); ok && defs[name] != nil {
		return defs[name]
	}
	return s
}

// TestEveryExpressionIsChecked holds that a config in which an expression can
// stand hands it out to be checked.
func TestEveryExpressionIsChecked(t *testing.T) {
	t.Parallel()
	for _, d := range all.Definitions() {
		_, expressive := d.New().(config.Expressive)
		if holds := holdsExpression(reflect.TypeOf(d.New()), nil); holds != expressive {
			t.Errorf("%s: an expression can stand in its config: %v; it implements config.Expressive: %v", d.Name, holds, expressive)
		}
	}
}

func holdsExpression(t reflect.Type, above []reflect.Type) bool {
	switch {
	case t == reflect.TypeFor[config.Expr]():
		return true
	case slices.Contains(above, t):
		return false
	}
	above = append(above, t)
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return holdsExpression(t.Elem(), above)
	case reflect.Struct:
		for f := range t.Fields() {
			if holdsExpression(f.Type, above) {
				return true
			}
		}
	default:
	}
	return false
}

// signedHost is that of a function URL.
const signedHost = "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-west-1.on.aws"

// Whoever may sign for one service of AWS may not for another one, however it is told.
func TestGroupsSignForWhatTheyAreGranted(t *testing.T) {
	t.Parallel()
	vocabulary := config.Vocabulary{Filters: all.Kinds(), Schemes: []config.Scheme{{Name: "https", Example: "https://users"}}}
	const named = "services: { called: { source: https://sts.eu-west-1.amazonaws.com } }"
	for name, test := range map[string]struct{ allow, sign, to, refused string }{
		"by its host":                {`"sign:aws:lambda@eu-west-1"`, "aws", "https://" + signedHost, ""},
		"as it is written":           {`"sign:aws:execute-api@eu-west-1"`, "{ as: aws, service: execute-api, region: eu-west-1 }", "https://own.test", ""},
		"by no name":                 {`"https://*"`, "aws", "https://" + signedHost, "sign:aws:lambda@eu-west-1"},
		"by the way alone":           {`"sign:aws"`, "aws", "https://" + signedHost, "sign:aws:lambda@eu-west-1"},
		"another service":            {`"sign:aws:lambda@*"`, "{ as: aws, service: iam, region: us-east-1 }", "https://own.test", "sign:aws:iam@us-east-1"},
		"another region":             {`"sign:aws:lambda@eu-west-1"`, "{ as: aws, service: lambda, region: us-east-1 }", "https://own.test", "sign:aws:lambda@us-east-1"},
		"another service by a host":  {`"sign:aws:lambda@*"`, "aws", "https://sts.eu-west-1.amazonaws.com", "sign:aws:sts@eu-west-1"},
		"by a service's host":        {`"sign:aws:lambda@*", called`, "aws", "called", "sign:aws:sts@eu-west-1"},
		"a host of its own choice":   {`"sign:aws:lambda@*", "https://own.test"`, "{ as: aws, host: " + signedHost + " }", "https://own.test", "https://" + signedHost},
		"a host that it may name":    {`"sign:aws:lambda@*", "https://*.on.aws"`, "{ as: aws, host: " + signedHost + " }", "https://own.test", ""},
		"a role that it may not use": {`"sign:aws:*"`, "{ as: aws, role: 'arn:aws:iam::123456789012:role/a' }", "https://" + signedHost, "role:arn:aws:iam::123456789012:role/a"},
	} {
		for at, route := range map[string]string{
			"on the route":   fmt.Sprintf("{ sign: %s, to: '%s' }", test.sign, test.to),
			"on the backend": fmt.Sprintf("{ to: [{ use: '%s', sign: %s }] }", test.to, test.sign),
		} {
			text := fmt.Sprintf("listen: :8080\n%s\ngroups: { shop: { allow: [%s, \"https://own.test\", \"https://*.amazonaws.com\", \"https://%s\"], routes: { 'ANY /**': %s } } }", named, test.allow, allowed(test.refused), route)
			r := config.Load([]config.Source{{Path: "weir.yaml", Data: []byte(text)}}, vocabulary)
			if told := fmt.Sprint(r.Problems); (len(r.Problems) == 0) != (test.refused == "") || !strings.Contains(told, test.refused) || test.refused != "" && len(r.Problems) != 1 {
				t.Errorf("%s, %s: %s", name, at, told)
			}
		}
	}
}

// allowed is the function's host, but where that is what must be refused.
func allowed(refused string) string {
	if strings.HasSuffix(refused, signedHost) {
		return "other.test"
	}
	return signedHost
}
