package doc

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// longestWord is the length in runes above which Suggest does not try. A longer word is not a misspelt key, and the
// cost of the distance grows with the product of the lengths.
const longestWord = 64

// Suggest returns the known word that word most likely stands for. It ignores case and whether words are joined by `-`,
// `_` or nothing when it counts differences. It returns false if no word is near: about one difference for every three
// letters.
func Suggest(word string, known []string) (string, bool) {
	if word == "" || utf8.RuneCountInString(word) > longestWord {
		return "", false
	}
	plain := plainWord(word)
	best, bestDistance := "", max(1, len(plain)/3)+1
	for _, k := range known {
		if k == word || utf8.RuneCountInString(k) > longestWord {
			continue
		}
		if d := distance(plain, plainWord(k)); d < bestDistance && d < len(plainWord(k)) {
			best, bestDistance = k, d
		}
	}
	return best, best != ""
}

// plainWord returns what different spellings of the same word have in common.
func plainWord(s string) []rune {
	return slices.DeleteFunc([]rune(strings.ToLower(s)), func(c rune) bool { return c == '-' || c == '_' || c == ' ' })
}

// distance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b (optimal string
// alignment, the restricted form of the Damerau-Levenshtein distance).
func distance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// OneOf returns an error if text is none of the known words. what describes the words, such as "a mode".
func OneOf(what, text string, known ...string) error {
	switch near, ok := Suggest(text, known); {
	case slices.Contains(known, text):
		return nil
	case ok:
		return fmt.Errorf("%q is not %s; did you mean %s?", text, what, near)
	default:
		return fmt.Errorf("%q is not %s; valid values are %s", text, what, strings.Join(known, ", "))
	}
}
