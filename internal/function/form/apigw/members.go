package apigw

import (
	"bytes"
	"encoding/json"
	"iter"
	"strings"
)

// members returns the members of an object, which is valid JSON, under their names exactly as spelled. encoding/json
// matches the fields of a struct in any case, which AWS does not. Values are slices of the object's own bytes.
func members(object []byte) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for at := between(object, 1); object[at] != '}'; at = between(object, at) {
			end := ending(object, at)
			var name string
			_ = json.Unmarshal(object[at:end], &name) // it is valid
			at = between(object, end)
			end = ending(object, at)
			if !yield(name, object[at:end:end]) {
				return
			}
			at = end
		}
	}
}

// between returns the offset of the next value, past the characters that separate two values.
func between(text []byte, at int) int {
	for strings.IndexByte(" \t\r\n,:", text[at]) >= 0 {
		at++
	}
	return at
}

// ending returns the offset just past the value that begins at an offset.
func ending(text []byte, at int) int {
	switch text[at] {
	case '"':
		return endingText(text, at)
	case '{', '[':
	default:
		return at + bytes.IndexAny(text[at:], " \t\r\n,]}")
	}
	for depth := 0; ; at++ {
		switch text[at] {
		case '"':
			at = endingText(text, at) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1
			}
		}
	}
}

func endingText(text []byte, at int) int {
	for at++; text[at] != '"'; at++ {
		if text[at] == '\\' {
			at++
		}
	}
	return at + 1
}
