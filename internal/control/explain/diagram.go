package explain

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// ErrNoComposition reports that there is nothing to draw.
var ErrNoComposition = errors.New("no composition answers this request, and only those are drawn")

// Diagram writes the compositions among the backends of e as one flowchart for Mermaid (https://mermaid.js.org). An
// arrow leads from each step to the steps that read it. The error is ErrNoComposition, or w's own.
func Diagram(w io.Writer, e snapshot.Explanation) error {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	found := false
	for i, backend := range e.Backends {
		if len(backend.Steps) == 0 {
			continue
		}
		found = true
		d := drawing{Builder: &b, prefix: fmt.Sprintf("c%d_", i+1)}
		d.draw(backend)
	}
	if !found {
		return ErrNoComposition
	}
	_, err := io.WriteString(w, b.String())
	return err //nolint:wrapcheck // the writer's own
}

// drawing writes one composition. Its nodes are named by number, because the name of a step may be a Mermaid keyword.
type drawing struct {
	*strings.Builder

	prefix string
	steps  []snapshot.ComposedStep
}

func (d *drawing) draw(backend snapshot.BackendStep) {
	d.steps = backend.Steps
	d.linef("%sin([%s])", d.prefix, label(strings.TrimPrefix(backend.Name, "compose:")))
	read := map[string]bool{}
	for i, s := range d.steps {
		d.linef("%s[%s]", d.node(i), label(append([]string{s.Name, s.Call}, s.Notes...)...))
		for _, name := range s.After {
			read[name] = true
		}
	}
	d.linef("%sout([%s])", d.prefix, label("answer"))
	for i, s := range d.steps {
		if len(s.After) == 0 {
			d.linef("%sin --> %s", d.prefix, d.node(i))
		}
		for _, name := range s.After {
			before := slices.IndexFunc(d.steps, func(other snapshot.ComposedStep) bool { return other.Name == name })
			d.linef("%s --> %s", d.node(before), d.node(i))
		}
		if !read[s.Name] {
			d.linef("%s --> %sout", d.node(i), d.prefix)
		}
	}
}

func (d *drawing) node(i int) string { return fmt.Sprintf("%ss%d", d.prefix, i+1) }

func (d *drawing) linef(format string, a ...any) {
	d.WriteString("  " + fmt.Sprintf(format, a...) + "\n")
}

// label quotes the lines of a node's text. It uses entities so that Mermaid does not take the text for its own syntax
// or for HTML.
func label(lines ...string) string {
	entities := strings.NewReplacer(`"`, "#quot;", "<", "#lt;", ">", "#gt;", "&", "#amp;", "#", "#35;", "`", "#96;", "\n", " ")
	for i := range lines {
		lines[i] = entities.Replace(lines[i])
	}
	return `"` + strings.Join(lines, "<br/>") + `"`
}
