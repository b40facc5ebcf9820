package config

import "github.com/weir-gateway/weir/internal/config/doc"

func (e expander) composition(m Composition) *doc.Node {
	f := named(m.Name, m.Group, m.Origin)
	f.put("steps", list(m.Steps, e.composedStep), "")
	f.put("return", e.result(m.Return), "")
	if m.Timing {
		f.put("timing", doc.EncodeNode(true), "")
	}
	f.size("max_body", m.BodyBytes, DefaultCompositionBody)
	return &f.Node
}

// size adds a number of bytes, with a comment if it is the built-in one.
func (f *fields) size(key string, bytes, usual int64) {
	f.put(key, doc.EncodeNode(doc.Size(bytes)), builtInIf(bytes == usual))
}

func builtInIf(usual bool) string {
	if usual {
		return builtIn
	}
	return ""
}

func (e expander) composedStep(s Step) *doc.Node {
	f := newFields()
	f.text("name", s.Name, s.Origin.comment())
	open := ""
	if s.Timeout == 0 {
		open = "timeout not said here, so the service's total, else " + builtIn + ": " + durationNode(DefaultStepTimeout).Value
	}
	f.text("to", s.Ref.String(), open)
	f.text("path", s.Path.Text, "")
	f.text("method", s.Method, "")
	f.put("query", s.Query.EncodeDoc(), "")
	f.put("headers", s.Headers.EncodeDoc(), "")
	f.tree("body", s.Body)
	f.expr("when", s.When)
	f.expr("each", s.Each)
	f.number("parallel", s.Parallel)
	if s.Timeout != 0 {
		f.put("timeout", durationNode(s.Timeout), "")
	}
	f.put("retry", retryNode(s.Retry), "")
	f.put("status", statusesForm(s.Statuses).EncodeDoc(), "")
	f.tree("else", s.Else)
	f.size("max_body", s.BodyBytes, DefaultStepBody)
	f.put("cache", e.cache(s.Cache), "")
	for _, filter := range s.Filters {
		f.put(filter.Name, own(filter.Config, e.v.Filters, filter.Name), "")
	}
	f.put("undo", e.undo(s.Undo), "")
	return &f.Node
}

func (f *fields) tree(key string, t *Tree) {
	if t != nil {
		f.put(key, t.EncodeDoc(), "")
	}
}

func (expander) result(r Return) *doc.Node {
	f := newFields()
	switch {
	case r.StatusExpr != nil:
		f.expr("status", r.StatusExpr)
	default:
		f.number("status", r.Status)
	}
	f.put("headers", r.Headers.EncodeDoc(), "")
	f.tree("body", r.Body)
	return &f.Node
}
