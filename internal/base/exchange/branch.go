package exchange

// Branch makes b the exchange of work that runs beside other work of x, such as a step of a composition. It has the
// client, identity and route of x, but its own attempts and captures, no hooks and no 1xx responses. The goroutine that
// uses x calls Branch; from then on another goroutine may use b. With puts it into the request that it is for. It must
// end before the handler of x returns.
func (x *Exchange) Branch(b *Exchange) {
	x.RequestID() // both have the same
	*b = *x
	b.isCopy()
	b.Attempts, b.Fault = nil, nil
	b.Params = Params{}
}

// Join records the attempts of a branch that is no longer in use, under the name of the step that it was for. Attempts
// of steps within that step keep their own names after a slash.
func (x *Exchange) Join(branch *Exchange, step string) {
	for _, a := range branch.Attempts {
		if a.Step == "" {
			a.Step = step
		} else {
			a.Step = step + "/" + a.Step
		}
		x.Attempts = append(x.Attempts, a)
	}
}
