package config

import "slices"

// Plan is the graph of a composition.
type Plan struct {
	// Needs holds, for each step, the steps that it waits for, in ascending order. A name that is not a step is left
	// out.
	Needs [][]int
	// Levels groups the steps by the length of the longest chain of steps before them. Steps of one level do not wait
	// for each other. A step does not wait for the whole level before it; it starts as soon as the steps that it needs
	// are done.
	Levels [][]int
	// Cycle holds steps that each wait for the next, and the last for the first; nil if there are none. Levels then
	// omits them and all steps that depend on them.
	Cycle []int
}

// PlanOf builds the graph of steps: reads holds, for each step, the names of the steps that its expressions read.
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

// levels returns the level of each step, -1 if it waits for a cycle.
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

// cycle follows the steps from one that waits for a cycle until it reaches a step for the second time.
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
