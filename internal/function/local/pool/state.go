package pool

import "fmt"

// state is the stage of an instance's life.
type state uint8

const (
	starting state = iota // its process is being started and made ready
	idle                  // ready, and answers no request
	busy                  // answers at least one request; may have room for more
	draining              // gets no new request; ends when its last one has ended
	dead                  // nothing of it is left
	states
)

func (s state) String() string {
	return [...]string{"starting", "idle", "busy", "draining", "dead"}[s]
}

// follows says which states may come after each state.
var follows = [states][states]bool{
	starting: {idle: true, draining: true, dead: true},
	idle:     {busy: true, draining: true, dead: true},
	busy:     {idle: true, draining: true, dead: true},
	draining: {dead: true},
}

// move is the only place where a state changes.
func (p *Pool[I]) move(m *member[I], to state) {
	if !follows[m.state][to] {
		panic(fmt.Sprintf("pool: an instance went from %s to %s", m.state, to))
	}
	p.count[m.state]--
	p.count[to]++
	m.state = to
}

// alive counts the instances that serve or will serve.
func (p *Pool[I]) alive() int { return p.count[starting] + p.count[idle] + p.count[busy] }
