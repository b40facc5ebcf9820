package compose

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/config"
)

var errValue = errors.New("the value holds a line break or another control character, which no field can have")

// tree makes t ready; it returns nil if t is nil.
func (b *builder) tree(t *config.Tree, scope expr.Scope) (*expr.Document, error) {
	return t.Document(func(e *config.Expr) (expr.Computed, error) {
		if name, ok := wholeBody(e.Source); ok {
			b.readsWhole(name)
			return whole(name), nil
		}
		return b.program(e, expr.Any, scope)
	})
}

// whole is the body of a step as it is, by the step's name. The step is complete, because whatever reads it waits for
// it.
type whole string

// Source implements expr.Computed.
func (w whole) Source() string { return "steps." + string(w) + ".body" }

// Value implements expr.Computed.
func (w whole) Value(in *expr.Input) (any, error) {
	result, _ := in.Steps(string(w))
	return result.Body, nil
}

// Size implements expr.Sized.
func (w whole) Size(in *expr.Input) int {
	result, _ := in.Steps(string(w))
	switch body := result.Body.(type) {
	case jsonx.Raw:
		return len(body)
	case jsonx.Value:
		return len(body.Raw())
	}
	return 0
}

// wholeBody returns the name of the step whose body is all that an expression consists of.
func wholeBody(source string) (name string, ok bool) {
	name, ok = strings.CutSuffix(strings.TrimSpace(source), ".body")
	if !ok {
		return "", false
	}
	if dotted, ok := strings.CutPrefix(name, "steps."); ok {
		return dotted, isName(dotted, "_")
	}
	for _, quote := range []string{"'", `"`} {
		if quoted, ok := strings.CutPrefix(name, "steps["+quote); ok {
			quoted, ok = strings.CutSuffix(quoted, quote+"]")
			return quoted, ok && isName(quoted, "_-")
		}
	}
	return "", false
}

// isName reports whether s consists of letters, digits and the characters in more.
func isName(s, more string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(more, r)
	})
}

// fields makes a list of header fields or query parameters ready; valid says which texts are allowed.
func (b *builder) fields(list config.Fields, scope expr.Scope, valid func(string) bool) ([]expr.Field, error) {
	return list.Ready(func(e *config.Expr) (*expr.Program, error) { return b.program(e, expr.String, scope) }, b.secret, valid)
}

// head returns the header fields that a list makes.
func head(list []expr.Field, in *expr.Input) ([]exchange.Field, error) {
	if len(list) == 0 {
		return nil, nil
	}
	lines := make([]exchange.Field, 0, len(list))
	for i := range list {
		value, there, err := list[i].Value(in)
		if err != nil {
			return nil, err
		}
		if value = strings.Trim(value, " \t"); !httpx.IsFieldValue(value) {
			return nil, wrong(&list[i])
		}
		if there {
			lines = append(lines, exchange.Field{Name: list[i].Name, Value: value})
		}
	}
	return lines, nil
}

// wrong returns the error for a value that no header field can have.
func wrong(f *expr.Field) error {
	if clients(f.Program) {
		return fault.BadParameter.New("A value of the request holds a control character, which cannot be sent on.", fault.Internal("%s", f.Name))
	}
	return fmt.Errorf("%s: %w", f.Name, errValue)
}

// query returns the query that a list makes, without '?'.
func query(list []expr.Field, in *expr.Input) (string, error) {
	var b strings.Builder
	for i := range list {
		value, there, err := list[i].Value(in)
		if err != nil {
			return "", err
		}
		if !there {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(list[i].Name) + "=" + url.QueryEscape(value))
	}
	return b.String(), nil
}

// path is a step's path made ready.
type path struct {
	config.ReadyPath

	// clients says that everything in the path is the client's, so that a fault in it is the client's too.
	clients bool
}

// clients reports whether the result of p is the client's own: it reads what the client has written, and nothing that
// an issuer or another step has said. p may be nil.
func clients(p *expr.Program) bool {
	if p == nil {
		return false
	}
	reads := p.Reads()
	return reads.Client && !reads.Auth && !reads.Item && len(reads.Steps) == 0
}

func (b *builder) path(p config.PathTemplate, scope expr.Scope) (path, error) {
	made := path{clients: true}
	var err error
	made.ReadyPath, err = p.Ready(func(e *config.Expr) (*expr.Program, error) {
		program, err := b.program(e, expr.String, scope)
		made.clients = made.clients && clients(program)
		return program, err
	})
	return made, err
}
