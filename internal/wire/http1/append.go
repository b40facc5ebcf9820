package http1

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/field"
)

// appendStatus appends a status line.
func appendStatus(out []byte, old bool, status int) []byte {
	if status == http.StatusOK && !old {
		return append(out, "HTTP/1.1 200 OK\r\n"...)
	}
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

// appendField appends a field line. One with an invalid name is left out, and bytes that would end a line early become
// blanks, as in net/http.
func appendField(out []byte, name, value string) []byte {
	if !field.IsName(name) {
		return out
	}
	if n := len(value); n > 0 && (value[0] <= ' ' || value[n-1] <= ' ') { // rare; Trim first looks at all of its cutset
		value = strings.Trim(value, " \t\r\n")
	}
	out = appendLine(out, name, value)
	if !field.IsValue([]byte(value)) {
		blankOut(out[len(out)-len(value)-len("\r\n") : len(out)-len("\r\n")])
	}
	return out
}

// blankOut replaces what may not stand in a value with blanks.
func blankOut(value []byte) {
	for i, c := range value {
		if !field.MayStand(c) {
			value[i] = ' '
		}
	}
}

// appendLine appends a field line of a valid name and value.
func appendLine(out []byte, name, value string) []byte {
	out = append(append(out, name...), ':', ' ')
	return append(append(out, value...), '\r', '\n')
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
