package config

import "slices"

// Plan is the graph of a composition.
type Plan struct {
	// Needs are the steps that each step waits for, ascending; a name that is no
	// step is not in it.
	Needs [][]int
	// Levels are the steps by the longest chain of steps before them: those of one
	// level wait for nothing of each other. A step does not wait for its whole
	// level; it starts as soon as those that it needs are done.
	Levels [][]int
	// Cycle are steps each of which waits for the next, and the last for the
	// first; nil where there are none. Levels then lack them and all behind them.
	Cycle []int
}

// PlanOf draws the graph of steps: reads are, by step, the names of the steps that
// its expressions read.
func PlanOf(names []string, reads [][]string) Plan {
	p := Plan{Needs: make([][]int, len(names))}
	for i, list := range reads {
		for _, name := range list {
			if at := slices.Index(names, name); at >= 0 {
				p.Needs[i] = append(p.Needs[i], at)
			}
		}
		slices.Sort(p.Needs[i])
		p.Needs[i] = slices.Compact(p.Needs[i])
	}
	levels := p.levels()
	for i, level := range levels {
		if level < 0 {
			if p.Cycle == nil {
				p.Cycle = p.cycle(i, levels)
			}
			continue
		}
		for len(p.Levels) <= level {
			p.Levels = append(p.Levels, nil)
		}
		p.Levels[level] = append(p.Levels[level], i)
	}
	return p
}

// levels gives the level of each step, -1 where it waits for a cycle.
func (p *Plan) levels() []int {
	levels := make([]int, len(p.Needs))
	for i := range levels {
		levels[i] = -1
	}
	for changed := true; changed; {
		changed = false
		for i, needs := range p.Needs {
			if levels[i] >= 0 {
				continue
			}
			level := 0
			for _, n := range needs {
				if levels[n] < 0 {
					level = -1
					break
				}
				level = max(level, levels[n]+1)
			}
			if level >= 0 {
				levels[i], changed = level, true
			}
		}
	}
	return levels
}

// cycle walks from a step that waits for a cycle until it meets one it has met.
func (p *Plan) cycle(from int, levels []int) []int {
	var way []int
	for at := from; ; {
		if i := slices.Index(way, at); i >= 0 {
			return way[i:]
		}
		way = append(way, at)
		next := slices.IndexFunc(p.Needs[at], func(n int) bool { return levels[n] < 0 })
		at = p.Needs[at][next]
	}
}
