package exchange

// Branch makes b the exchange of work that runs beside other work of x, as a step of
// a composition does: client, identity and route are those of x, while attempts
// and captures are its own, and there are no hooks and no 1xx responses. Whoever
// uses x makes it; from then on another goroutine may use it. With puts it into
// the request that it is for. It ends before the handler of x returns.
func (x *Exchange) Branch(b *Exchange) {
	*b = *x
	b.onHead, b.onDone, b.Informational = headHook{}, nil, nil
	b.Attempts, b.Fault = nil, nil
	b.Params = Params{}
}

// Join records the attempts of a branch, which nobody uses any more, under the name
// of the step that it was for; those of steps within it keep theirs behind a slash.
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
