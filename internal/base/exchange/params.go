package exchange

import "slices"

// Params are the named values that a route's host and path patterns captured, percent-decoded, in the order of the
// pattern. The zero value is empty. The first inlineParams values need no allocation.
type Params struct {
	n      int
	inline [inlineParams]Param
	more   *[]Param // nil: there were never more
}

// Param is one captured value.
type Param struct{ Name, Value string }

const (
	inlineParams = 2
	moreParams   = 4 // capacity for the further ones, if there are any
)

// Add appends a value.
func (p *Params) Add(name, value string) {
	if p.n < inlineParams {
		p.inline[p.n] = Param{name, value}
	} else {
		p.addMore(Param{name, value})
	}
	p.n++
}

func (p *Params) addMore(one Param) {
	if p.more == nil {
		list := make([]Param, 0, moreParams)
		p.more = &list
	}
	*p.more = append(*p.more, one)
}

// Len is the number of values.
func (p *Params) Len() int { return p.n }

// At returns the i-th value, 0 <= i < Len().
func (p *Params) At(i int) Param {
	if i < inlineParams {
		return p.inline[i]
	}
	return (*p.more)[i-inlineParams]
}

// Get returns the value of that name and whether there is one.
func (p *Params) Get(name string) (string, bool) {
	for i := range p.n {
		if v := p.At(i); v.Name == name {
			return v.Value, true
		}
	}
	return "", false
}

// Truncate drops all but the first n values; a matcher uses it to backtrack.
func (p *Params) Truncate(n int) {
	if p.more != nil {
		*p.more = (*p.more)[:max(0, n-inlineParams)]
	}
	p.n = n
}

// clone returns a copy that shares nothing.
func (p *Params) clone() Params {
	c := *p
	if p.more != nil {
		more := slices.Clone(*p.more)
		c.more = &more
	}
	return c
}
