package auth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Member is a caller that is declared in the config: the holder of an API key, or a user with a password.
type Member struct {
	ID string
	// Proofs are hashes or references; any one of them identifies the member.
	Proofs []config.Secret
	Scopes []string
	Claims map[string]string
	Pos    doc.Pos
}

// memberForm is the config form of a Member: the map below its id.
type memberForm struct {
	Proofs []proof           `doc:"is,required,oneormany" help:"a hash, or a reference to the secret itself; several during a change" example:"${env:ACME_KEY}"`
	Scopes []string          `doc:"scopes,oneormany,omitzero" help:"scopes that auth.has() finds" example:"orders:read"`
	Claims map[string]string `doc:"claims,omitzero" help:"further facts about the caller, in auth.claims" example:"{ plan: gold }"`
}

// proof is a secret that is printed if it is the digest of a key. Keys are long and random, so nobody can find one from
// its digest.
type proof config.Secret

// DecodeDoc reads a digest, a hash or a secret.
func (p *proof) DecodeDoc(n *doc.Node, ps *doc.Problems) { (*config.Secret)(p).DecodeDoc(n, ps) }

// EncodeDoc writes the proof in the form in which it is read.
func (p proof) EncodeDoc() *doc.Node {
	if len(p.Parts) == 1 && p.Parts[0].Source == "" && strings.HasPrefix(p.Parts[0].Text, DigestPrefix) {
		return &doc.Node{Kind: doc.Scalar, Pos: p.Pos, Value: p.Parts[0].Text}
	}
	return config.Secret(p).EncodeDoc()
}

// DocSchema implements doc.SchemaWriter.
func (proof) DocSchema() *doc.Schema {
	return doc.TextSchema("a digest or hash, or a reference ${env:NAME} or ${file:/path} to the secret")
}

// Members are written as a map of ids to proofs, or to maps of proofs, scopes and claims.
type Members []Member

// DecodeDoc reads the map.
func (m *Members) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind != doc.Map {
		ps.Add(doc.Problem{Pos: n.Pos, What: n.Kind.String() + " is given where callers are expected", Why: "they are a map of ids", Fix: "for example `acme: ${env:ACME_KEY}`"})
		return
	}
	for _, e := range n.Entries {
		value := e.Value
		if value.Kind != doc.Map {
			value = value.Under("is")
		}
		var form memberForm
		doc.Decode(value, &form, ps)
		member := Member{ID: e.Key, Scopes: form.Scopes, Claims: form.Claims, Pos: e.KeyPos}
		for _, p := range form.Proofs {
			member.Proofs = append(member.Proofs, config.Secret(p))
		}
		member.check(value, ps)
		*m = append(*m, member)
	}
	if len(n.Entries) == 0 {
		ps.Add(doc.Problem{Pos: n.Pos, What: "there are no callers", Why: "so nobody would ever pass", Fix: "for example `acme: ${env:ACME_KEY}`"})
	}
}

// check reports what would give m, whose map is n, another identity than its author expects.
func (m Member) check(n *doc.Node, ps *doc.Problems) {
	if m.ID == "" {
		ps.Add(doc.Problem{Pos: m.Pos, What: "a caller has no id", Why: "auth.sub would be empty, as that of nobody is", Fix: "for example `acme: ${env:ACME_KEY}`"})
	}
	for _, scope := range m.Scopes {
		switch words := strings.Fields(scope); {
		case len(words) == 0:
			ps.Add(doc.Problem{Pos: n.Get("scopes").Pos, What: "a scope is empty", Fix: "leave it out"})
		case words[0] != scope: // RFC 6749 section 3.3
			ps.Add(doc.Problem{Pos: n.Get("scopes").Pos, What: fmt.Sprintf("the scope %q has a blank", scope), Why: "it would be one scope, which nobody asks for", Fix: "write [" + strings.Join(words, ", ") + "]"})
		}
	}
	if _, said := m.Claims["sub"]; said {
		ps.Add(doc.Problem{Pos: n.Get("claims").Get("sub").Pos, What: fmt.Sprintf("the claim sub is the caller's id, %q", m.ID), Fix: "leave it out"})
	}
}

// EncodeDoc writes the map in the form in which it is read.
func (m Members) EncodeDoc() *doc.Node {
	if m == nil {
		return nil
	}
	n := &doc.Node{Kind: doc.Map}
	for _, member := range m {
		form := memberForm{Scopes: member.Scopes, Claims: member.Claims}
		for _, p := range member.Proofs {
			form.Proofs = append(form.Proofs, proof(p))
		}
		value := doc.EncodeNode(form)
		if len(form.Proofs) == 1 && len(form.Scopes)+len(form.Claims) == 0 {
			value = form.Proofs[0].EncodeDoc()
		}
		n.Entries = append(n.Entries, doc.Entry{Key: member.ID, Value: value})
	}
	return n
}

// DocSchema implements doc.SchemaWriter.
func (Members) DocSchema() *doc.Schema {
	return &doc.Schema{Type: doc.Types{"object"}, AdditionalProperties: doc.SchemaOr[memberForm](proof{}.DocSchema(), doc.ListSchema(proof{}.DocSchema()))}
}

// IssuerOf returns the issuer of callers that a way knows from the config. It differs for each way, so a caller of
// another way is never taken for the same one.
func IssuerOf(way string) string { return "auth:" + way }

// Identity returns the identity of m as way recognises it.
func (m Member) Identity(way string) *exchange.Identity {
	claims := make(map[string]any, len(m.Claims)+1)
	for name, value := range m.Claims {
		claims[name] = value
	}
	claims["sub"] = m.ID
	return &exchange.Identity{Method: way, Issuer: IssuerOf(way), Subject: m.ID, Scopes: m.Scopes, Claims: exchange.ClaimsOf(claims)}
}

// Wrong returns an error about m with the position of the proof that it concerns, or else with the position of m.
func (m Member) Wrong(err error) error {
	at := m.Pos
	if placed, ok := errors.AsType[*config.SecretError](err); ok {
		at = placed.Pos
	}
	return &config.SecretError{Pos: at, Err: fmt.Errorf("%s: %w", m.ID, err)}
}

// Unusable returns an error about the value of s, with the position of s and, if it is a reference, the reference.
func Unusable(s config.Secret, err error) error {
	if s.Refers() {
		err = fmt.Errorf("%s: %w", s.Template, err)
	}
	return &config.SecretError{Pos: s.Pos, Err: err}
}

// Text returns the text of a proof. Its error has the proof's position. known is false if the proof is a reference and
// the config is only checked.
func (e Env) Text(s config.Secret) (text string, known bool, err error) {
	if !s.Refers() {
		for _, p := range s.Parts {
			text += p.Text
		}
		return text, true, nil
	}
	if e.Checked {
		return "", false, nil
	}
	value, err := s.Read(e.Secret)
	return value.Reveal(), err == nil, err
}

// Count formats n with the noun what, in the plural where needed. Notes use it.
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
