package expr

// Field is a header field or a query parameter made ready: Text, or what Program gives
// where it is not nil.
type Field struct {
	Name    string
	Text    string
	Program *Program
}

// Value gives the text, and false where it was computed and is empty: there is nothing
// to send.
func (f *Field) Value(in *Input) (string, bool, error) {
	if f.Program == nil {
		return f.Text, true, nil
	}
	text, err := f.Program.String(in)
	return text, text != "", err
}
