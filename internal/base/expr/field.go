package expr

// Field is a prepared header field or query parameter. Its value is Text, or the result of Program if that is not nil.
type Field struct {
	Name    string
	Text    string
	Program *Program
}

// Value returns the text. It returns false if the text was computed and is empty: then there is nothing to send.
func (f *Field) Value(in *Input) (string, bool, error) {
	if f.Program == nil {
		return f.Text, true, nil
	}
	text, err := f.Program.String(in)
	return text, text != "", err
}
