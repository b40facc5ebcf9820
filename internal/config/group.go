package config

import (
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// team is a declared group with the content of its declaration.
type team struct {
	name string
	pos  doc.Pos
	groupForm
}

// groupForm is a group in its written form.
type groupForm struct {
	Listeners []string     `doc:"listeners,oneormany" help:"the only listeners that its routes may attach to"`
	Hosts     []string     `doc:"hosts,oneormany" help:"the only hosts that its routes may match; a route without a host gets all of them" example:"shop.dev"`
	Allow     []string     `doc:"allow,oneormany" help:"the only backends that it may name in addition to its own; * stands for any text" example:"http://*.shop.internal:8080"`
	Secrets   []string     `doc:"secrets,oneormany" help:"the only secrets that it may refer to; * stands for any text" example:"env:SHOP_*"`
	Reach     []reachForm  `doc:"reach,oneormany" help:"addresses on this machine and its links, and Unix sockets, that its backends may use; none by default" example:"[127.0.0.0/8, \"unix:/run/shop/*\"]"`
	Defaults  *doc.Node    `doc:"defaults" help:"defaults for every route of the group"`
	Section   elementsForm `doc:",inline"`
}

// declareGroups reads the groups of all files, and checks the files that belong to a group.
func (l *loader) declareGroups() {
	l.teams = map[string]*team{}
	for _, f := range l.files {
		if f.Groups == nil || f.Group != "" {
			continue
		}
		l.each(f.Groups, "groups", "", func(e element, _ string, ps *doc.Problems) {
			if t := l.declare(e, ps); t != nil {
				f.teams = append(f.teams, t)
			}
		})
	}
	for _, f := range l.files {
		l.checkMembership(f)
	}
}

func (l *loader) declare(e element, ps *doc.Problems) *team {
	t := &team{name: e.name, pos: e.pos}
	if first, twice := l.teams[e.name]; twice {
		ps.Add(doc.Problem{Pos: e.pos, What: fmt.Sprintf("the group %q is declared twice", e.name), Why: "the first is at " + first.pos.String(), Fix: "keep one of them"})
		l.bad[first.pos.File] = true
		return nil
	}
	if !IsElementName(e.name) {
		ps.Add(badName(e.pos, "group", e.name))
		return nil
	}
	doc.Decode(e.node, &t.groupForm, ps)
	l.teams[e.name] = t
	l.cfg.Groups = append(l.cfg.Groups, Group{
		Name: t.name, Listeners: t.Listeners, Hosts: t.Hosts, Allow: t.Allow, Secrets: t.Secrets, Reach: boundsOf(t.Reach), Origin: Origin{Pos: t.pos},
	})
	return t
}

// reachForm is a range of addresses or a pattern of Unix sockets.
type reachForm struct {
	addresses Prefix
	socket    string
}

func (r *reachForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if path, ok := strings.CutPrefix(n.Value, unixScheme+":"); ok && n.Kind == doc.Scalar {
		r.socket = path
		if err := CheckUnixPath(strings.ReplaceAll(path, "*", "x")); err != nil {
			ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%q covers no socket", n.Value), Why: err.Error(), Fix: "for example unix:/run/shop/*"})
		}
		return
	}
	r.addresses.DecodeDoc(n, ps)
}

// EncodeDoc writes it in the form that is read.
func (r reachForm) EncodeDoc() *doc.Node {
	if r.socket != "" {
		return doc.EncodeNode(unixScheme + ":" + r.socket)
	}
	return r.addresses.EncodeDoc()
}

// DocSchema implements doc.SchemaWriter.
func (reachForm) DocSchema() *doc.Schema {
	return text("a range of addresses, as 127.0.0.0/8, or Unix sockets, as unix:/run/shop/*")
}

// boundsOf returns the bounds that a list describes.
func boundsOf(forms []reachForm) egress.Bounds {
	var b egress.Bounds
	for _, f := range forms {
		switch {
		case f.socket != "":
			b.Sockets = append(b.Sockets, f.socket)
		case f.addresses.IsValid():
			b.Reach = append(b.Reach, f.addresses.Prefix)
		}
	}
	return b
}

func badName(pos doc.Pos, what, name string) doc.Problem {
	p := doc.Problem{
		Pos: pos, What: fmt.Sprintf("%q is not the name of a %s", name, what),
		Why: "a name is letters, digits, '-', '_' and '.', begins with a letter or digit and is not the word none",
		Fix: "choose another name",
	}
	if plain := strings.Join(strings.Fields(name), "-"); IsElementName(plain) {
		p.Fix = "write " + plain
	}
	return p
}

// checkMembership checks a file that says `group:`.
func (l *loader) checkMembership(f *file) {
	if f.Group == "" {
		return
	}
	if l.teams[f.Group] == nil && !l.unread {
		l.ps.Add(l.unknownGroup(f.node.Get("group").Pos, f.Group))
	}
	for _, key := range []string{"listen", "admin", "lambda_api", "registry", "telemetry", "limits", "shutdown", "trust", "resolver", "zone", "discovery", "clouds", "problems", "engine", "groups"} {
		for _, e := range f.node.Entries {
			if e.Key == key {
				l.ps.Add(doc.Problem{
					Pos: e.KeyPos, What: fmt.Sprintf("%q is in a file of the group %q", key, f.Group),
					Why: "it applies to everybody, so a group cannot set it", Fix: "move it to a file that belongs to no group",
				})
			}
		}
	}
}
