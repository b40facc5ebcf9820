package compile_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/compile"
	discoveries "github.com/weir-gateway/weir/internal/discovery/all"
	filters "github.com/weir-gateway/weir/internal/filter/all"
)

// many is a config of n routes in files of a thousand, to fifty services, each with a
// filter and every tenth with an expression. mark is what one of the routes says.
func many(folder string, n int, mark string) []config.Source {
	sources := []config.Source{{Path: filepath.Join(folder, "main.yaml"), Data: []byte("listen: :8080\n")}}
	for start := 0; start < n; start += 1000 {
		var b strings.Builder
		b.WriteString("routes:\n")
		for i := start; i < min(n, start+1000); i++ {
			fmt.Fprintf(&b, "  GET /team%d/items%d/{id}:\n    headers: { response: { set: { X-Route: r%d } } }\n", i%100, i, i)
			if i == n/2 {
				fmt.Fprintf(&b, "    timeout: %s\n", mark)
			}
			if i%10 == 0 {
				fmt.Fprintf(&b, "    match: { when: \"=request.headers['x-beta'] == '%d'\" }\n", i)
			}
			fmt.Fprintf(&b, "    to: http://127.0.0.1:%d\n", 10000+i%50)
		}
		sources = append(sources, config.Source{Path: filepath.Join(folder, fmt.Sprintf("%d.yaml", start)), Data: []byte(b.String())})
	}
	return sources
}

// BenchmarkReload is what a change of one route among many costs, step by step.
func BenchmarkReload(b *testing.B) {
	parts := compile.Parts{Filters: filters.Definitions(), Providers: discoveries.Definitions()}
	for _, n := range []int{100, 10_000} {
		folder := b.TempDir()
		sources := [2][]config.Source{many(folder, n, "5s"), many(folder, n, "6s")}
		load := func(i int) *config.Config {
			r := config.Load(sources[i%2], parts.Vocabulary())
			if r.Config == nil {
				b.Fatal(r.Problems)
			}
			return r.Config
		}
		b.Run(fmt.Sprintf("load/routes=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				load(i)
			}
		})
		b.Run(fmt.Sprintf("compile/routes=%d", n), func(b *testing.B) {
			c := compile.New(parts, compile.Options{Log: slog.New(slog.DiscardHandler), Secret: secret.Resolve})
			defer c.Close(context.Background())
			configs := [2]*config.Config{load(0), load(1)}
			reload := func(i int) {
				pending, problems := c.Compile(configs[i%2], "digest")
				if pending == nil {
					b.Fatal(problems)
				}
				pending.Commit()(context.Background())
			}
			reload(1)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				reload(i)
			}
		})
		b.Run(fmt.Sprintf("changes/routes=%d", n), func(b *testing.B) {
			configs := [2]*config.Config{load(0), load(1)}
			b.ReportAllocs()
			for b.Loop() {
				if got := config.Changes(configs[0], configs[1]); len(got) != 1 {
					b.Fatal(got)
				}
			}
		})
	}
}
