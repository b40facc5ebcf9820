package expr_test

import (
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/jsonx"
)

func BenchmarkBool(b *testing.B) {
	for _, source := range []string{
		`request.method == 'POST'`,
		`path.user == auth.sub`,
		`auth.has('orders:write')`,
		`request.headers['x-beta'] == '1'`,
		`cidr('10.0.0.0/8').contains(client.ip)`,
		`request.body.total > 100`,
		`request.body.list.exists(x, x > 2)`,
	} {
		b.Run(source, func(b *testing.B) {
			p, in := mustCompile(b, source, expr.Bool), input()
			parsed, err := in.RequestBody()
			if err != nil {
				b.Fatal(err)
			}
			in.RequestBody = func() (any, error) { return parsed, nil }
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := p.Bool(in); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

func BenchmarkString(b *testing.B) {
	p, in := mustCompile(b, `client.ip`, expr.String), input()
	b.ReportAllocs()
	for b.Loop() {
		if s, err := p.String(in); s == "" || err != nil {
			b.Fatal(s, err)
		}
	}
}

func BenchmarkValue(b *testing.B) {
	p, in := mustCompile(b, `{"name": steps.profile.body.name, "body": request.body}`, expr.Any), input()
	parsed, err := jsonx.Parse([]byte(`{"a": [`+strings.Repeat("1,", 1000)+`1]}`), jsonx.Options{})
	if err != nil {
		b.Fatal(err)
	}
	in.RequestBody = func() (any, error) { return parsed, nil }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Value(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		mustCompile(b, `path.user == auth.sub && request.headers['x-beta'] == '1'`, expr.Bool)
	}
}
