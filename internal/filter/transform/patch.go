package transform

import (
	"fmt"
	"slices"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// verb is what happens to the members that a path leads to. If two apply to one member, the later verb counts.
type verb uint8

const (
	fill   verb = iota // sets the value if it is missing or null
	rename             // changes the name
	remove
	set
)

// operation is a verb with its path.
type operation struct {
	verb  verb
	path  *Path
	name  string         // for rename
	value *expr.Document // for fill and set
}

// patch changes members of a JSON value and copies everything else as it is.
type patch struct {
	operations []operation
	in         *expr.Input
	most       int                       // the largest size of the result, in bytes
	made       map[*expr.Document][]byte // a value that is given to many members is computed once
}

// value returns the JSON that an operation gives to members.
func (p *patch) value(d *expr.Document) ([]byte, error) {
	if text, ok := p.made[d]; ok {
		return text, nil
	}
	text, err := d.Append(nil, p.in)
	if err != nil {
		return nil, err
	}
	if p.made == nil {
		p.made = make(map[*expr.Document][]byte)
	}
	p.made[d] = text
	return text, nil
}

// pending is an operation on its way down a value: the segment at index at is next.
type pending struct {
	*operation

	at int
}

// all returns the operations, pending at the outermost value.
func (p *patch) all() []pending {
	list := make([]pending, len(p.operations))
	for i := range p.operations {
		list[i] = pending{operation: &p.operations[i]}
	}
	return list
}

// append appends v, changed by the pending operations.
func (p *patch) append(dst []byte, v jsonx.Value, todo []pending) ([]byte, error) {
	if len(todo) == 0 {
		return append(dst, v.Raw()...), nil
	}
	switch v.Kind() {
	case jsonx.Object, jsonx.Invalid:
		return p.object(dst, v, todo)
	case jsonx.List:
		dst = append(dst, '[')
		first := true
		for e := range v.Elements() {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			var err error
			if dst, err = p.append(dst, e, todo); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case jsonx.Null:
		if slices.ContainsFunc(todo, pending.makes) {
			return p.object(dst, jsonx.Value{}, todo)
		}
	default:
		if i := slices.IndexFunc(todo, func(t pending) bool { return t.verb == set }); i >= 0 {
			return nil, fmt.Errorf("set of %s: %s stands where an object is needed", todo[i].path.Text, v.Kind())
		}
	}
	return append(dst, v.Raw()...), nil
}

// makes tells whether an operation creates the missing objects along its path.
func (t pending) makes() bool {
	return (t.verb == set || t.verb == fill) && !t.path.segments[t.at].every
}

// member is a member of an object as it will be written.
type member struct {
	name  string
	value jsonx.Value
	below []pending
	made  *expr.Document // the new value, unless nil
	verb  verb
	own   bool // the member had this name before
}

// object writes an object; the zero Value is one that does not exist yet.
func (p *patch) object(dst []byte, v jsonx.Value, todo []pending) ([]byte, error) {
	members := make([]member, 0, v.Len()+len(todo))
	for name, value := range v.Members() {
		if m, stays := changed(name, value, todo); stays {
			members = append(members, m)
		}
	}
	members = p.added(members, v, todo)
	members = settled(members)
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(jsonx.AppendString(dst, m.name), ':')
		var err error
		if m.made != nil {
			var text []byte
			text, err = p.value(m.made)
			dst = append(dst, text...)
		} else {
			dst, err = p.append(dst, m.value, m.below)
		}
		if err != nil {
			return nil, err
		}
		if len(dst) > p.most {
			return nil, fmt.Errorf("what is made is larger than %d bytes", p.most)
		}
	}
	return append(dst, '}'), nil
}

// changed returns what a member becomes, and false if it is removed.
func changed(name string, value jsonx.Value, todo []pending) (member, bool) {
	m := member{name: name, value: value, own: true}
	ends := false
	for _, t := range todo {
		if t.path.anywhere && t.at == 0 {
			m.below = append(m.below, t)
		}
		s := t.path.segments[t.at]
		switch {
		case !s.every && s.name != name:
		case t.at+1 < len(t.path.segments):
			m.below = append(m.below, pending{t.operation, t.at + 1})
		case t.verb == fill && value.Kind() != jsonx.Null:
		case !ends || t.verb >= m.verb:
			ends = true
			m.apply(t.operation)
		}
	}
	return m, !ends || m.verb != remove
}

func (m *member) apply(o *operation) {
	m.verb = o.verb
	switch o.verb {
	case rename:
		m.name, m.own = o.name, false
	case set, fill:
		m.made = o.value
	case remove:
	}
}

// added adds the members that are set and missing.
func (p *patch) added(members []member, v jsonx.Value, todo []pending) []member {
	first := len(members)
	for _, t := range todo {
		if !t.makes() {
			continue
		}
		s := t.path.segments[t.at]
		if _, there := v.Get(s.name); there {
			continue
		}
		i := slices.IndexFunc(members[first:], func(m member) bool { return m.name == s.name })
		if i < 0 {
			members = append(members, member{name: s.name, verb: t.verb})
			i = len(members) - 1 - first
		}
		m := &members[first+i]
		m.verb = max(m.verb, t.verb)
		if t.at+1 == len(t.path.segments) {
			m.made = t.value
		} else {
			m.below = append(m.below, pending{t.operation, t.at + 1})
		}
	}
	return members
}

// settled keeps one member of each name. A member that was set takes precedence over a renamed one, and that over one
// that already had the name. A member that is only filled in gives way to all of them.
func settled(members []member) []member {
	if !slices.ContainsFunc(members, func(m member) bool { return !m.own && m.verb == rename }) {
		return members // names were unique, and added members were missing before
	}
	rank := func(m member) int {
		switch {
		case m.verb == set:
			return 3
		case m.verb == rename && !m.own:
			return 2
		case m.own:
			return 1
		default:
			return 0
		}
	}
	at := make(map[string]int, len(members))
	kept := members[:0]
	for _, m := range members {
		i, known := at[m.name]
		switch {
		case !known:
			at[m.name] = len(kept)
			kept = append(kept, m)
		case rank(m) > rank(kept[i]):
			kept[i] = m
		}
	}
	return kept
}
