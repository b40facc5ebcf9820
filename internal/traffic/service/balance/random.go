package balance

// random draws by weight.
type random struct{ *field }

// Pick implements Picker.
func (p random) Pick(a Ask) (int, int64) { return p.spilled(&a, p.draw(&a)), 0 }
