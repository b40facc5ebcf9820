package config

import (
	"reflect"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// PlainSecret finds a secret in c that is written as plain text instead of a reference, and returns its place.
func PlainSecret(c *Config) (at doc.Pos, found bool) {
	walk(reflect.ValueOf(c), 0, func(v reflect.Value) bool {
		if found || v.Type() == reflect.TypeFor[Origin]() || v.Kind() == reflect.Func {
			return false
		}
		if v.Type() != reflect.TypeFor[Secret]() {
			return true
		}
		if isPlain(v.FieldByName("Parts")) {
			pos := v.FieldByName("Pos")
			at = doc.Pos{File: pos.FieldByName("File").String(), Line: int(pos.FieldByName("Line").Int()), Col: int(pos.FieldByName("Col").Int())}
			found = true
		}
		return false
	})
	return at, found
}

// isPlain reports whether the parts of a secret are text without references.
func isPlain(parts reflect.Value) bool {
	for i := range parts.Len() {
		if p := parts.Index(i); p.FieldByName("Source").String() != "" {
			return false
		}
	}
	return parts.Len() > 0
}
