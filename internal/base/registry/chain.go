package registry

// chain is a list of entries in the order of their latest change. An entry that changes again moves to the end. So a
// reader that has seen everything up to a revision finds all later changes at the end, each entry once and in its
// current state, however long ago that revision was. No buffer is kept for slow readers.
type chain struct {
	which       int // index of its link in an entry's links
	first, last *entry
}

// The chains that an entry is in.
const (
	ofAll     = iota // every entry
	ofService        // the entries of one service
	chains
)

// link is an entry's place in one chain.
type link struct{ before, after *entry }

// append puts e at the end. e must not be in the chain.
func (c *chain) append(e *entry) {
	e.links[c.which] = link{before: c.last}
	if c.last != nil {
		c.last.links[c.which].after = e
	} else {
		c.first = e
	}
	c.last = e
}

// take removes e from the chain.
func (c *chain) take(e *entry) {
	l := e.links[c.which]
	if l.before != nil {
		l.before.links[c.which].after = l.after
	} else {
		c.first = l.after
	}
	if l.after != nil {
		l.after.links[c.which].before = l.before
	} else {
		c.last = l.before
	}
	e.links[c.which] = link{}
}

// since returns the entries that have changed after a revision, the oldest change first.
func (c *chain) since(revision uint64) []*entry {
	n := 0
	for e := c.last; e != nil && e.revision > revision; e = e.links[c.which].before {
		n++
	}
	list := make([]*entry, n)
	for e := c.last; n > 0; e = e.links[c.which].before {
		n--
		list[n] = e
	}
	return list
}
