package registry

// chain is a list of entries in the order in which they have changed, which an entry goes to
// the end of when it changes again. So who has seen everything up to a revision finds what
// came since at the end, each entry once and as it is now, however long that was ago: nobody
// keeps a buffer for those who read slowly.
type chain struct {
	which       int // of the links of an entry
	first, last *entry
}

// The chains that an entry is in.
const (
	ofAll     = iota // every entry
	ofService        // those of its service
	chains
)

// link is an entry's place in one chain.
type link struct{ before, after *entry }

// append puts e to the end. It must be in no place.
func (c *chain) append(e *entry) {
	e.links[c.which] = link{before: c.last}
	if c.last != nil {
		c.last.links[c.which].after = e
	} else {
		c.first = e
	}
	c.last = e
}

// take takes e out.
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

// since gives the entries that have changed after a revision, the oldest change first.
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
