package config

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// The word that switches off an inherited field or a bound.
const none = "none"

// isNone reports whether n is the bare word none.
func isNone(n *doc.Node) bool {
	return n != nil && n.Kind == doc.Scalar && n.Value == none && !n.Quoted
}

// textPos is the place of byte offset in n's text.
func textPos(n *doc.Node, offset int) doc.Pos {
	pos := n.Pos
	text := n.Value[:min(max(offset, 0), len(n.Value))]
	if strings.Contains(text, "\n") { // a block: its indentation is not known here
		return pos
	}
	pos.Col += utf8.RuneCountInString(text)
	if n.Quoted && !strings.Contains(n.Value, "\n") {
		pos.Col++
	}
	return pos
}

// scalarAt returns a text node for a text written at pos.
func scalarAt(text string, pos doc.Pos) *doc.Node {
	return &doc.Node{Kind: doc.Scalar, Pos: pos, Value: text, Quoted: true}
}

// mapAt returns a map node of entries for a map written at pos.
func mapAt(pos doc.Pos, entries ...doc.Entry) *doc.Node {
	return &doc.Node{Kind: doc.Map, Pos: pos, Entries: entries}
}

// wantText reports a problem if n is not a text, or is an empty one.
func wantText(n *doc.Node, what, example string, ps *doc.Problems) bool {
	if n.Kind == doc.Scalar && strings.TrimSpace(n.Value) != "" {
		return true
	}
	if n.Kind != 0 {
		is := n.Kind.String()
		if n.Kind == doc.Scalar {
			is = "empty"
		}
		ps.Add(doc.Problem{Pos: n.Pos, What: what + " is " + is, Why: "it is written as one text", Fix: "for example `" + example + "`"})
	}
	return false
}

// DecodeDoc reads an expression. The leading '=' is optional, because nothing else can stand where an Expr does.
func (e *Expr) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if !wantText(n, "the expression", "=request.headers['x-beta'] == '1'", ps) {
		return
	}
	source := strings.TrimSpace(strings.TrimPrefix(n.Value, "="))
	if source == "" {
		ps.Add(doc.Problem{Pos: n.Pos, What: "the expression is empty", Fix: "for example `=request.headers['x-beta'] == '1'`"})
		return
	}
	*e = Expr{Source: source, Pos: textPos(n, strings.Index(n.Value, source))}
}

// EncodeDoc writes the expression in the form that is read.
func (e Expr) EncodeDoc() *doc.Node {
	return &doc.Node{Kind: doc.Scalar, Pos: e.Pos, Value: "=" + e.Source}
}

// DecodeDoc reads a text with references to secrets.
func (s *Secret) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if !wantText(n, "the secret", "${env:TOKEN}", ps) || leftOut(n, ps) {
		return
	}
	template, err := secret.Parse(n.Value)
	if err != nil {
		p := doc.Problem{Pos: n.Pos, What: err.Error()}
		if syntax, ok := err.(*secret.SyntaxError); ok { //nolint:errorlint // Parse gives it unwrapped
			p.Pos = textPos(n, syntax.Offset)
		}
		ps.Add(p)
		return
	}
	template.Base = folderOf(n.Pos)
	*s = Secret{Template: template, Pos: n.Pos}
}

// SecretError is why a secret could not be read or used, with its place.
type SecretError struct {
	Pos doc.Pos
	Err error
}

func (e *SecretError) Error() string { return e.Err.Error() }

func (e *SecretError) Unwrap() error { return e.Err }

// Read returns the value that s refers to; its error is a *SecretError.
func (s Secret) Read(resolve func(secret.Template) (secret.Value, error)) (secret.Value, error) {
	value, err := resolve(s.Template)
	if err != nil {
		return secret.Value{}, &SecretError{s.Pos, err}
	}
	return value, nil
}

// folderOf is the folder of the file that pos is in. Relative paths in a config are relative to it.
func folderOf(pos doc.Pos) string { return filepath.Dir(pos.File) }

// hidden replaces the text of a secret that is not printed.
var hidden = secret.Template{Parts: []secret.Part{{Text: "any"}}}.String()

// leftOut reports a secret that was printed without its text. Nobody uses that placeholder as a secret, but many would
// have it as their secret if it were accepted.
func leftOut(n *doc.Node, ps *doc.Problems) bool {
	if !strings.Contains(n.Value, hidden) {
		return false
	}
	ps.Add(doc.Problem{
		Pos: n.Pos, What: fmt.Sprintf("the text of a secret has been left out here (%s)", hidden),
		Why: "a printed config holds no secrets, only references to them", Fix: "write a reference such as ${env:TOKEN}, or the secret itself",
	})
	return true
}

// EncodeDoc writes references in the form that is read, and never writes literal text.
func (s Secret) EncodeDoc() *doc.Node {
	n := &doc.Node{Kind: doc.Scalar, Pos: s.Pos, Value: s.String()}
	if strings.Contains(n.Value, hidden) {
		n.Comment = "its text is not printed, so this does not load; write a reference such as ${env:TOKEN}"
	}
	return n
}

// timeoutsForm is `timeout`: the total alone, or a map.
type timeoutsForm struct {
	Connect bound `doc:"connect" help:"time to get a connection, including TLS"`
	Head    bound `doc:"head" help:"time from the end of the request to the response's head"`
	Idle    bound `doc:"idle" help:"time between two pieces of a body"`
	Total   bound `doc:"total" help:"time from the first attempt to the last byte; upgrades are exempt"`
}

func (t *timeoutsForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar {
		t.Total.DecodeDoc(n, ps)
		return
	}
	doc.Decode(n, (*plainTimeouts)(t), ps)
}

func (t timeoutsForm) timeouts() Timeouts {
	return Timeouts{Connect: time.Duration(t.Connect), Head: time.Duration(t.Head), Idle: time.Duration(t.Idle), Total: time.Duration(t.Total)}
}

// retryForm is `retry`: the number of further tries alone, or a map.
type retryForm struct {
	Attempts int         `doc:"attempts" help:"retries after the first attempt; 2 by default" example:"1"`
	Statuses []int       `doc:"statuses" help:"response statuses that count as failures; 502, 503 and 504 by default"`
	Budget   *budgetForm `doc:"budget" help:"services only: the most retries for all of the service's requests together; 20% by default" example:"10%"`
}

func (r *retryForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if isNone(n) {
		return
	}
	if n.Kind == doc.Scalar {
		doc.Decode(n, &r.Attempts, ps)
	} else {
		r.Attempts = DefaultRetry().Attempts
		doc.Decode(n, (*plainRetry)(r), ps)
	}
	if r.Attempts > 0 && r.Statuses == nil {
		r.Statuses = retryStatuses()
	}
}

func (r *retryForm) retry() *Retry {
	if r == nil {
		return nil
	}
	return &Retry{Attempts: r.Attempts, Statuses: r.Statuses, Budget: r.Budget.budget()}
}

// percentForm is a share as a whole percentage.
type percentForm int

func (p *percentForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == 0 {
		return
	}
	digits, ok := strings.CutSuffix(n.Value, "%")
	value, err := strconv.Atoi(digits)
	if n.Kind != doc.Scalar || !ok || err != nil || value < 0 || value > 100 || digits != strconv.Itoa(value) {
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%q is not a share", n.Value), Why: "a share is a whole number of percents from 0% to 100%", Fix: "for example `share: 5%`"})
		return
	}
	*p = percentForm(value)
}
