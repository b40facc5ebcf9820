package apigw

import (
	"bytes"
	"encoding/json"
	"iter"
	"strings"
)

// members gives the members of an object, which is valid JSON, by their names as these are spelled:
// encoding/json takes those of a struct in any case, which AWS does not. Values are within the
// object's own bytes.
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

// between is where what stands between two values has ended.
func between(text []byte, at int) int {
	for strings.IndexByte(" \t\r\n,:", text[at]) >= 0 {
		at++
	}
	return at
}

// ending is behind the value that begins at a place.
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
