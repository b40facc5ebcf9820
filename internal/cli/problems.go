package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

const (
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	green  = "\x1b[32m"
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	plain  = "\x1b[0m"
)

func (s Streams) color(code, text string) string {
	if !s.Color {
		return text
	}
	return code + text + plain
}

// tell prints problems one after the other: on a terminal with the line that they are about, elsewhere as one line
// each, for editors and scripts.
func (s Streams) tell(problems []doc.Problem, sources []config.Source) {
	for _, p := range problems {
		code := red
		if p.Severity == doc.Warning {
			code = yellow
		}
		_, _ = fmt.Fprintln(s.Err, s.color(code, printableLines(p.String())))
		if !s.Color || p.Pos.Line == 0 {
			continue
		}
		if i := slices.IndexFunc(sources, func(src config.Source) bool { return src.Path == p.Pos.File }); i >= 0 {
			_, _ = fmt.Fprintln(s.Err, s.color(dim, printableLines(strings.TrimSuffix(doc.Excerpt(sources[i].Data, p.Pos), "\n"))))
		}
	}
}

// failures counts the errors among problems.
func failures(problems []doc.Problem) int {
	n := 0
	for _, p := range problems {
		if p.Severity == doc.Error {
			n++
		}
	}
	return n
}

// count returns "1 problem" or "3 problems".
func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
