package doc

import (
	"fmt"
	"strings"
)

// The known traps of YAML, each with its own message and fix. These texts are used more than once.
const (
	keysAreTexts = "keys are texts"
	quoteIt      = "put it in quotes"
)

func unclosedQuote(pos Pos, quote byte) Problem {
	return Problem{Pos: pos, What: fmt.Sprintf("the quote %c is not closed on its line", quote), Fix: "close it, or write a text of several lines after `|` or `>-`"}
}

func noColon(pos Pos, word, key string) Problem {
	switch {
	case strings.HasPrefix(word, "?"):
		return complexKey(pos)
	case key != "":
		return Problem{
			Pos: pos, What: "a space is missing after the colon of " + shorten(key),
			Why: fmt.Sprintf("YAML reads %s as one text", shorten(word)), Fix: fmt.Sprintf("write `%s: ...`", key),
		}
	}
	return Problem{Pos: pos, What: shorten(word) + " is not a `key: value`", Why: "this is a map", Fix: "write a key, a colon and a space before it"}
}

// badKey reports what is wrong with an unquoted key; line is the rest of the line from the key on.
func badKey(pos Pos, key, line string) (Problem, bool) {
	switch {
	case strings.HasPrefix(key, "="):
		return splitExpression(pos, line), true
	case key == "":
		return Problem{Pos: pos, What: "there is no key before this colon", Fix: "write a key, or quotes around the value"}, true
	case key == "<<":
		return Problem{Pos: pos, What: "the merge key `<<` is not supported", Why: "nothing is merged silently", Fix: "write the fields out, or share them with `defaults:` or a group"}, true
	case isNull(key):
		return Problem{Pos: pos, What: "this key is a null", Why: keysAreTexts, Fix: fmt.Sprintf("put it in quotes: '%s'", key)}, true
	case isMarker(key):
		return documentMarker(pos), true
	case key == "?" || strings.HasPrefix(key, "? "):
		return complexKey(pos), true
	case key[0] == ',' || key[0] == ']' || key[0] == '}':
		return Problem{Pos: pos, What: fmt.Sprintf("a key cannot begin with `%c`", key[0]), Fix: "put it in quotes, or look for a bracket that was closed too early"}, true
	}
	return badStart(pos, key, "key")
}

func complexKey(pos Pos) Problem {
	return Problem{Pos: pos, What: "a key that begins with `? ` is not supported", Why: "keys are texts on one line", Fix: "write `key: value`"}
}

func documentMarker(pos Pos) Problem {
	return Problem{Pos: pos, What: "an unquoted text cannot begin with `--- ` or `... `", Why: "they separate documents", Fix: quoteIt}
}

// badPlain reports what is wrong with an unquoted value; rest is the line from there on with its comment.
func badPlain(pos Pos, text, rest string) (Problem, bool) {
	if p, bad := badStart(pos, text, "value"); bad {
		return p, true
	}
	switch {
	case isMarker(text):
		return documentMarker(pos), true
	case text == "-" || strings.HasPrefix(text, "- "):
		return Problem{Pos: pos, What: "a list begins on the line of its key", Why: "each dash of a list belongs on its own line", Fix: "write it on the next line, indented, or in brackets: [a, b]"}, true
	case strings.HasPrefix(text, "="):
		if keyEnd(text) >= 0 || text != strings.TrimRight(rest, " \t") && openQuote(text) {
			return splitExpression(pos, rest), true
		}
		return Problem{}, false
	case keyEnd(text) >= 0:
		return Problem{
			Pos: pos, What: shorten(text) + " contains a colon followed by a space", Why: "YAML reads that as a key, and a line can have only one",
			Fix: "put quotes around the value, or write the key on the next line, indented",
		}, true
	case text[0] == ',' || text[0] == ']' || text[0] == '}':
		return Problem{Pos: pos, What: fmt.Sprintf("an unquoted value cannot begin with `%c`", text[0]), Fix: quoteIt}, true
	case text == "?" || strings.HasPrefix(text, "? "):
		return Problem{Pos: pos, What: "an unquoted value cannot begin with `? `", Fix: quoteIt}, true
	}
	return Problem{}, false
}

// splitExpression is the problem of an unquoted expression that YAML cuts in two.
func splitExpression(pos Pos, line string) Problem {
	line = strings.TrimRight(line, " \t")
	where := "`: `"
	if text := cutComment(line); keyEnd(text) < 0 {
		where = "` #`"
	}
	return Problem{
		Pos: pos, What: "this expression is not in quotes and contains " + where, Why: "YAML ends it there",
		Fix: "put it in quotes: " + quoteShort(line),
	}
}

// quoteShort returns a value of the user in quotes, or a placeholder if it is long.
func quoteShort(text string) string {
	if len(text) > longestEcho {
		return "'=...'"
	}
	return quote(text)
}

// longestEcho is the maximum length, in bytes, of a text that a fix repeats.
const longestEcho = 60

// starts explains the characters that cannot begin an unquoted text.
var starts = map[byte]string{
	'*':  "it would name an alias, and Weir's files have none",
	'&':  "it would name an anchor, and Weir's files have none",
	'!':  "it would be a tag, and Weir knows none; an expression begins with `=`",
	'@':  "YAML reserves it",
	'`':  "YAML reserves it",
	'%':  "YAML reserves it for directives",
	'|':  "it would begin a text on the lines below",
	'>':  "it would begin a text on the lines below",
	'#':  "it would begin a comment",
	'[':  "it would begin a list",
	'{':  "it would begin a map",
	'"':  "it would begin a text in quotes",
	'\'': "it would begin a text in quotes",
}

func badStart(pos Pos, text, what string) (Problem, bool) {
	why, bad := starts[text[0]]
	if !bad {
		return Problem{}, false
	}
	mark := fmt.Sprintf("`%c`", text[0])
	if text[0] == '`' {
		mark = "a backtick"
	}
	return Problem{Pos: pos, What: fmt.Sprintf("an unquoted %s cannot begin with %s", what, mark), Why: why, Fix: "put it in quotes: " + quoteShort(text)}, true
}

// openQuote reports whether a CEL text ends inside one of its strings.
func openQuote(text string) bool {
	var open byte
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case open == 0 && (c == '\'' || c == '"'):
			open = c
		case open != 0 && c == '\\':
			i++
		case c == open:
			open = 0
		}
	}
	return open != 0
}

// openBracket reports whether a CEL text opens more brackets than it closes.
func openBracket(text string) bool {
	open := 0
	for i := range len(text) {
		switch text[i] {
		case '(', '[', '{':
			open++
		case ')', ']', '}':
			open--
		}
	}
	return open > 0
}
