package expr_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/expr"
)

const all = expr.Request | expr.Response | expr.Steps | expr.Item

func TestCheckAcceptsTheNamesOfTheDesign(t *testing.T) {
	t.Parallel()
	for _, source := range []string{
		`request.method == 'GET'`,
		`request.path.startsWith('/a') && request.query != '' && request.id != ''`,
		`request.headers['x-beta'] == '1' || request.headers.accept == '*/*'`,
		`request.cookies['session'] != '' && request.host == 'a:80' && request.scheme == 'https'`,
		`request.body.items.exists(i, i.price * 1.5 > i.total)`,
		`path.user == auth.sub && path['user-id'] == ''`,
		`query.page == '2' && query['page-size'] == '' && 'page' in query`,
		`host.endsWith('.shop.dev')`,
		`cidr('10.0.0.0/8').contains(client.ip) && client.scheme == 'http'`,
		`cidr(['10.0.0.0/8', '::1']).contains(client.ip)`,
		`auth.has('orders:write') && auth.iss != '' && auth.id != '' && auth.method == 'customer'`,
		`'admin' in auth.scopes || auth.claims.role == 'admin' || has(auth.claims.email)`,
		`response.status >= 500 && response.headers['x'] == '' && response.body.ok`,
		`steps.profile.status == 200 && steps['orders-v2'].body.size() > 0 && steps.profile.headers['etag'] != ''`,
		`has(request.headers.x) && !has(request.body.name)`,
		`math.greatest(1, 2) == 2 && base64.encode(b'x') != '' && ['a', 'b'].join(',') == 'a,b'`,
		`type(request.body) == map && int(query.page) > 3 && [3, 1].sort()[0] == 1`,
		`1 * 1.5 > 1.0 && 1.5 - 1 == 0.5 && 2 < 2.5`,
		`client.ip in ['192.0.2.1', '::1'] || client.ip == '10.0.0.1' || request.path == '10.0.0.0/8'`,
	} {
		if err := expr.Check(source, expr.Bool, all); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func TestCheckSaysWhatIsWrongWhereAndWhatToDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ source, want string }{
		{``, "1:1: the expression is empty"},
		{`(`, "1:2: the expression ends too early"},
		{`reqest.method == ''`, "1:1: 'reqest' is not a known name; did you mean 'request'?"},
		{`request.heders['x'] == ''`, "1:8: 'request' has no field 'heders'; did you mean 'headers'?"},
		{`auth.scope == ''`, "1:5: 'auth' has no field 'scope'; did you mean 'scopes'?"},
		{`request`, "1:1: 'request' alone has no value; name one of its fields: body, cookies, headers, host, id, method, path, query, scheme"},
		{`has(request.path)`, "1:5: 'request.path' is always there; compare it: request.path != ''"},
		{`path.user.name == ''`, "1:10: the values of 'path' are strings and have no fields"},
		{`host.tenant == 'a'`, "1:5: 'host' is a string and has no fields"},
		{`request.method`, "1:8: must be true or false, this is a string"},
		{`[1]`, "1:1: must be true or false, this is a list"},
		{`request.method == 1`, "1:16: == does not go with a string and an integer; headers, query and path are strings: compare with a quoted value, or convert with int(...)"},
		{`1 == 1.0`, "1:3: == does not go with an integer and a number; convert the integer with double(...)"},
		{`request.method = 'x'`, "1:16: a single = compares nothing; write == to compare"},
		{`true & false`, "1:6: a single & means nothing; write && for and"},
		{`true and false`, "1:6: 'and' is not expected here; write && for and"},
		{`request.method && true`, "1:8: must be true or false, this is a string"},
		{`request.method.startWith('x')`, "1:25: there is no function 'startWith'; did you mean 'startsWith'?"},
		{`request.headers.x-beta == '1'`, "1:19: 'beta' is not a known name; a name with a dash is written in brackets: request.headers['x-beta']"},
		{`auth.claims..plan == 'a'`, "1:13: '..' is not expected here; a name stands behind one dot, and what is no name in brackets: auth.claims.NAME, auth.claims['NAME']"},
		{`auth.claims.7x == 'a'`, "1:12: '.7' is not expected here; a name stands behind one dot, and what is no name in brackets: auth.claims.NAME, auth.claims['NAME']"},
		{`auth.claims.`, "is not expected here; a name stands behind one dot"},
		{`'a'..b`, "'..' is not expected here"},
		{`request.body.items.exists(i, j.x)`, "1:30: 'j' is not a known name"},
		{`cidr('10/8').contains(client.ip)`, `1:6: "10/8" is no prefix such as 10.0.0.0/8`},
		{`cidr(['::1', 'x']).contains(client.ip)`, `1:14: "x" is no prefix such as 10.0.0.0/8`},
		{`request.path.matches('(')`, "1:22: this is no regular expression: error parsing regexp: missing closing ): `(`; the syntax is that of RE2"},
		{`steps.profile`, "1:1: a step is named in full; write steps.NAME.body, .text, .status or .headers"},
		{`steps.a.boddy`, "1:8: a step has no field 'boddy'; did you mean 'body'?"},
		{`steps[request.path].body`, "1:1: a step is named in full; write steps.NAME.body, .text, .status or .headers"},
		{`request.method.size`, "1:15: 'request.method' is a string and has no fields"},
		{`weir.Step{}`, "there are no types to make values of"},
		{`auth.haz('x')`, "1:9: 'auth' has no function 'haz'; did you mean 'has'?"},
		{`auth.allowed('x')`, "'auth' has no function 'allowed'; it has has"},
		{`auth.size() > 0`, "1:1: 'auth' alone has no value"},
		{`=true`, "1:1: the expression begins with a second =; write one"},
		{`request.method === 'GET'`, "1:18: there is no operator ===; write =="},
		{`request.method !== 'GET'`, "1:18: there is no operator !==; write !="},
		{`not auth.has('x')`, "1:1: 'not' is not expected here; write ! for not"},
		{`true && not auth.has('x')`, "1:9: 'not' is not expected here; write ! for not"},
		{`headers['x'] == ''`, "1:1: 'headers' is not a known name; did you mean 'request.headers' or 'response.headers'?"},
		{`ip == ''`, "1:1: 'ip' is not a known name; did you mean 'client.ip'?"},
		{`client.ip in ['192.0.2.1', '10.0.0.0/8']`, "1:28: client.ip is one address and equals no range; write cidr('10.0.0.0/8').contains(client.ip)"},
		{`client.ip != '10.0.0.0/8'`, "1:14: client.ip is one address and equals no range; write cidr('10.0.0.0/8').contains(client.ip)"},
		{`'fd00::/8' == client.ip`, "1:1: client.ip is one address and equals no range; write cidr('fd00::/8').contains(client.ip)"},
		{"request.method == 'a'\n  && request.pth == ''", "2:13: 'request' has no field 'pth'; did you mean 'path'?"},
	} {
		err := expr.Check(c.source, expr.Bool, all)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n got %v\nwant %s", c.source, err, c.want)
		}
		if _, ok := errors.AsType[*expr.Error](err); !ok {
			t.Errorf("%s: the error is %T", c.source, err)
		}
	}
}

// TestNamesOfOtherProgramsLeadToOurs where somebody looks for a parameter below request, as most
// gateways have it.
func TestNamesOfOtherProgramsLeadToOurs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ source, want string }{
		{`request.query['t'] == ''`, "1:14: 'request.query' is a string and has no fields; did you mean 'query.t'?"},
		{`request.query['page-size'] == ''`, "1:14: 'request.query' is a string and has no fields; did you mean query['page-size']?"},
		{`request.query.t == ''`, "1:14: 'request.query' is a string and has no fields; did you mean 'query.t'?"},
		{`has(request.query.t)`, "1:4: 'request.query' is a string and has no fields; did you mean 'query.t'?"},
		{`request.query[path.name] == ''`, "1:14: 'request.query' is a string and has no fields; did you mean 'query'?"},
		{`'t' in request.query`, "1:5: 'request.query' is a string and has no fields; did you mean 'query'?"},
		{`request.path['id'] == ''`, "1:13: 'request.path' is a string and has no fields; did you mean 'path.id'?"},
		{`request.method.a == ''`, "1:15: 'request.method' is a string and has no fields"},
		{`response.status.code == 2`, "1:16: 'response.status' is an integer and has no fields"},
		{`request.path_params.id == ''`, "1:8: 'request' has no field 'path_params'; did you mean 'path.id'?"},
		{`request.pathParameters['user-id'] == ''`, "1:8: 'request' has no field 'pathParameters'; did you mean path['user-id']?"},
		{`request.params == ''`, "1:8: 'request' has no field 'params'; did you mean 'path'?"},
		{`params.id == ''`, "1:1: 'params' is not a known name; did you mean 'path.id'?"},
		{`request.queryStringParameters.t == ''`, "1:8: 'request' has no field 'queryStringParameters'; did you mean 'query.t'?"},
		{`args.t == ''`, "1:1: 'args' is not a known name; did you mean 'query.t'?"},
		{`request.header['x'] == ''`, "1:8: 'request' has no field 'header'; did you mean 'headers'?"},
		{`response.header['x'] == ''`, "1:9: 'response' has no field 'header'; did you mean 'headers'?"},
		{`header.x == ''`, "1:1: 'header' is not a known name; did you mean 'request.headers' or 'response.headers'?"},
		{`request.uri == ''`, "1:8: 'request' has no field 'uri'; did you mean 'request.path'?"},
		{`req.path == ''`, "1:1: 'req' is not a known name; did you mean 'request.path'?"},
		{`request.ip == ''`, "1:8: 'request' has no field 'ip'; did you mean 'client.ip'?"},
		{`request.client.ip == ''`, "1:8: 'request' has no field 'client'; did you mean 'client.ip'?"},
		{`request.auth.sub == ''`, "1:8: 'request' has no field 'auth'; did you mean 'auth.sub'?"},
		{`auth.subject == ''`, "1:5: 'auth' has no field 'subject'; did you mean 'auth.sub'?"},
		{`jwt.plan == ''`, "1:1: 'jwt' is not a known name; did you mean 'auth.claims.plan'?"},
		{`response.status_code == 1`, "1:9: 'response' has no field 'status_code'; did you mean 'response.status'?"},
	} {
		if err := expr.Check(c.source, expr.Bool, all); err == nil || err.Error() != c.want {
			t.Errorf("%s\n got %v\nwant %s", c.source, err, c.want)
		}
	}
	for source, want := range map[string]string{
		`params.id == ''`:        "1:1: 'params' is not a known name",
		`steps.a.body == req.id`: "1:17: 'req' is not a known name",
	} {
		if err := expr.Check(source, expr.Bool, expr.Steps); err == nil || err.Error() != want {
			t.Errorf("%s, of steps alone: got %v, want %s", source, err, want)
		}
	}
	for _, source := range []string{
		`[{'query': {'a': 1}}].exists(request, 'a' in request.query)`, `[{'query': {'a': 1}}].exists(request, request.query[query.b] == 1)`,
		`request.query.contains('x')`,
	} {
		if err := expr.Check(source, expr.Bool, all); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func TestOnlyBoundedFunctionsAreThere(t *testing.T) {
	t.Parallel()
	for _, source := range []string{`yaml.parse('a')`, `json.parse('1')`, `json.encode(1)`, `yaml.encode(1)`} {
		if err := expr.Check(source, expr.Any, all); err == nil {
			t.Errorf("%s is taken", source)
		}
	}
	for _, source := range []string{
		`base64.decode(base64.encode(b'a')) == b'a'`, `'%s'.format(['a']) + strings.quote('a') == ''`,
		`[1, 2].hasAny([1]) && [[1]].flatten().distinct().reverse().slice(0, 1) == [1]`, `math.least(1, 2) == 1 && math.round(1.5) == 2.0`,
		`[{'a': 1}].sortBy(x, x.a) == [] && 'a'.reverse() == 'a'`,
	} {
		if err := expr.Check(source, expr.Bool, all); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func TestScopesHideNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		source string
		scope  expr.Scope
		want   string
	}{
		{`response.status == 200`, expr.Request, "'response' is not known here; here an expression may use auth, client, host, path, query, request"},
		{`steps.a.body.x`, expr.Request | expr.Response, "'steps' is not known here"},
		{`request.path == ''`, expr.Steps, "'request' is not known here; here an expression may use steps"},
		{`auth.has('x')`, expr.Steps, "'auth' is not known here"},
		{`item.id == 1`, expr.Request | expr.Steps, "'item' is not known here"},
		{`responce.status == 200`, expr.Request, "'responce' is not a known name"},
	} {
		err := expr.Check(c.source, expr.Any, c.scope)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.source, err, c.want)
		}
	}
}

func TestWantedTypes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		source string
		want   expr.Type
		err    string
	}{
		{`request.path`, expr.String, ""},
		{`response.status`, expr.String, ""},
		{`1.5`, expr.String, ""},
		{`true`, expr.String, ""},
		{`request.body`, expr.String, ""},
		{`request.body`, expr.Bool, ""},
		{`[1]`, expr.String, "must be text, this is a list"},
		{`request.headers`, expr.String, "must be text, this is a map; name one of its members: request.headers.NAME"},
		{`{'a': 1}`, expr.String, "must be text, this is a map"},
		{`null`, expr.String, "must be text, this is null"},
		{`{'a': 1}`, expr.Any, ""},
		{`1.5`, expr.Int, "must be a whole number, this is a number"},
		{`steps.a.status`, expr.Int, ""},
		{`request.body.n`, expr.Int, ""},
		{`request.path`, expr.List, "must be a list, this is a string"},
		{`request.body.items`, expr.List, ""},
		{`[1]`, expr.List, ""},
		{`cidr('::1')`, expr.Any, "must be a value, this is a cidr"},
	} {
		err := expr.Check(c.source, c.want, all)
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: got %v, want %q", c.source, err, c.err)
		}
	}
}

func TestReadsTellsWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		source string
		want   expr.Reads
	}{
		{`request.path`, expr.Reads{}},
		{`request.body.a`, expr.Reads{RequestBody: true}},
		{`request['body'].a`, expr.Reads{RequestBody: true}},
		{`response.body == response.status`, expr.Reads{ResponseBody: true}},
		{`auth.has('a')`, expr.Reads{Auth: true}},
		{`[1].map(x, auth.sub)`, expr.Reads{Auth: true}},
		{`{'a': steps.b.body, 'b': steps['a'].body, 'c': steps.b.status}`, expr.Reads{
			Steps: []string{"a", "b"}, StepHeads: []string{"b"}, StepBodies: []string{"a", "b"},
		}},
		{`steps.a.text + steps.b.headers.etag`, expr.Reads{Steps: []string{"a", "b"}, StepHeads: []string{"b"}, StepTexts: []string{"a"}}},
		{`item.id`, expr.Reads{Item: true}},
		{`[1].map(item, item + 1)`, expr.Reads{}},
		{`query.a`, expr.Reads{Query: true}},
		{`'a' in query`, expr.Reads{Query: true}},
		{`query.all(n, n != '')`, expr.Reads{Query: true}},
		{`request.query`, expr.Reads{Query: true}},
		{`has(path.user) ? path.user : path.id`, expr.Reads{Params: []string{"id"}}},
		{`'user' in path ? path['user'] : ''`, expr.Reads{Params: []string{}}},
		{`path.user + path['id'] + path.user`, expr.Reads{Params: []string{"id", "user"}}},
	} {
		p, err := expr.Compile(c.source, expr.Any, all)
		if c.source == `request['body'].a` {
			if err == nil {
				t.Errorf("%s must not compile", c.source)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		if got := p.Reads(); !equalReads(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.source, got, c.want)
		}
	}
}

func equalReads(a, b expr.Reads) bool {
	return a.RequestBody == b.RequestBody && a.ResponseBody == b.ResponseBody && a.Auth == b.Auth && a.Item == b.Item &&
		slices.Equal(a.Steps, b.Steps) && slices.Equal(a.StepHeads, b.StepHeads) && slices.Equal(a.StepBodies, b.StepBodies) &&
		slices.Equal(a.StepTexts, b.StepTexts) && slices.Equal(a.Params, b.Params)
}

func TestSourcesHaveLimits(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"length":  `'` + strings.Repeat("a", 20_000) + `' == ''`,
		"nesting": strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200),
		"nodes":   strings.Repeat("1+", 5000) + "1 == 1",
	} {
		if err := expr.Check(source, expr.Bool, expr.Request); err == nil {
			t.Errorf("%s has no limit", name)
		}
	}
}
