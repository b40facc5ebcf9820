package accesslog

// style is the syntax of a line of fields.
type style interface {
	// key returns the text before a field's value. It is called once per field.
	key(name string) string
	append(b []byte, v value) []byte
	begin(b []byte) []byte
	between(b []byte) []byte
	end(b []byte) []byte
}

// line is a format of fields in a chosen order. Fields without a value are left out.
type line struct {
	style style
	parts []part
}

type part struct {
	key string
	of  func(*event) value
}

func newLine(s style, o Options) *line {
	l := &line{style: s}
	for _, f := range chosen(o) {
		l.parts = append(l.parts, part{s.key(f.name), f.of})
	}
	return l
}

func (l *line) line(b []byte, e *event) []byte {
	b = l.style.begin(b)
	first := true
	for i := range l.parts {
		v := l.parts[i].of(e)
		if v.kind == nothing {
			continue
		}
		if !first {
			b = l.style.between(b)
		}
		first = false
		b = append(b, l.parts[i].key...)
		b = l.style.append(b, v)
	}
	return l.style.end(b)
}
