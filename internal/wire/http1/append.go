package http1

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// appendStatus appends a status line.
func appendStatus(out []byte, old bool, status int) []byte {
	if old {
		out = append(out, version10...)
	} else {
		out = append(out, version11...)
	}
	out = append(out, ' ')
	out = append(strconv.AppendInt(out, int64(status), 10), ' ')
	if text := http.StatusText(status); text != "" {
		out = append(out, text...)
	} else {
		out = append(out, "status code "...)
		out = strconv.AppendInt(out, int64(status), 10)
	}
	return append(out, "\r\n"...)
}

// appendField appends a field line. One whose name is none is left out, and what would
// end a line early becomes a blank, as net/http has it.
func appendField(out []byte, name, value string) []byte {
	if !isName(name) {
		return out
	}
	out = append(append(out, name...), ": "...)
	begin := len(out)
	if n := len(value); n > 0 && (value[0] <= ' ' || value[n-1] <= ' ') { // seldom, and Trim looks at all that it might be first
		value = strings.Trim(value, " \t\r\n")
	}
	out = append(out, value...)
	for i := begin; i < len(out); i++ {
		if classes[out[i]]&fieldByte == 0 {
			out[i] = ' '
		}
	}
	return append(out, "\r\n"...)
}

func isName(name string) bool {
	for i := range len(name) {
		if classes[name[i]]&tchar == 0 {
			return false
		}
	}
	return name != ""
}

// date is the Date field of one second.
type date struct {
	second int64
	line   []byte
}

// appendDate appends the Date field.
func (s *Server) appendDate(out []byte) []byte {
	now := time.Now()
	d := s.date.Load()
	if d == nil || d.second != now.Unix() {
		line := append(now.UTC().AppendFormat([]byte("Date: "), http.TimeFormat), "\r\n"...)
		d = &date{second: now.Unix(), line: line}
		s.date.Store(d)
	}
	return append(out, d.line...)
}
