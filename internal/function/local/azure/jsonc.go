package azure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// withoutComments returns JSON without a byte order mark, and with blanks in place of comments, so that positions stay
// the same.
func withoutComments(text []byte) []byte {
	out := bytes.Clone(text)
	if mark := []byte("\xef\xbb\xbf"); bytes.HasPrefix(out, mark) {
		copy(out, "   ")
	}
	for i := 0; i < len(out); i++ {
		switch {
		case out[i] == '"':
			i = endOfString(out, i)
		case bytes.HasPrefix(out[i:], []byte("//")):
			i = blank(out, i, "\n")
		case bytes.HasPrefix(out[i:], []byte("/*")):
			i = blank(out, i, "*/")
		}
	}
	return out
}

// endOfString returns the position of the quote that ends the string that begins at i.
func endOfString(text []byte, i int) int {
	for i++; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i
}

// blank overwrites a comment, including its end unless that is a line's end, and returns its last position.
func blank(text []byte, from int, end string) int {
	to := len(text)
	if n := bytes.Index(text[from+2:], []byte(end)); n >= 0 {
		to = from + 2 + n
		if end != "\n" {
			to += len(end)
		}
	}
	for i := from; i < to; i++ {
		if text[i] != '\n' {
			text[i] = ' '
		}
	}
	return to - 1
}

// placed adds the line to an error of encoding/json.
func placed(text []byte, err error) error {
	var offset int64
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = syntax.Offset
	} else if typed, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		offset = typed.Offset
	} else {
		return err
	}
	offset = min(max(offset, 0), int64(len(text)))
	return fmt.Errorf("line %d: %w", 1+bytes.Count(text[:offset], []byte("\n")), err)
}
