// Package secret holds values that must never be displayed: their references as written in a config, their resolution,
// and a Value that prints as "[secret]".
package secret

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Template is text that may contain references: `Bearer ${env:TOKEN}`.
type Template struct {
	Parts []Part
	// Base is the folder that relative paths of files are relative to; "" is the working directory.
	Base string
}

// Part is literal text, or a reference if Source is not empty.
type Part struct {
	Source string // "env" or "file"; "" for literal text
	Text   string // the literal, the variable's name, or the file's path
}

// Value is a resolved secret. Every way of printing it yields "[secret]".
type Value struct{ text string }

const redacted = "[secret]"

// NewValue wraps text.
func NewValue(text string) Value { return Value{text} }

// Reveal returns the text, for the one place that needs it.
func (v Value) Reveal() string { return v.text }

// Empty reports whether there is no secret.
func (v Value) Empty() bool { return v.text == "" }

// String hides the secret.
func (Value) String() string { return redacted }

// GoString hides the secret from %#v.
func (Value) GoString() string { return redacted }

// LogValue hides the secret from slog.
func (Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the secret from encoders.
func (Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Refers reports whether t contains a reference and is not just literal text.
func (t Template) Refers() bool {
	return slices.ContainsFunc(t.Parts, func(p Part) bool { return p.Source != "" })
}

// String shows references as they were written. It hides all literal text, because a literal in place of a secret is a
// secret too.
func (t Template) String() string {
	var b strings.Builder
	for _, p := range t.Parts {
		if p.Source == "" {
			b.WriteString(redacted)
		} else {
			b.WriteString("${" + p.Source + ":" + p.Text + "}")
		}
	}
	return b.String()
}

// Parse reads `${env:NAME}` and `${file:/path}` references in text; `$${` is a literal `${`. The error says what is
// wrong and, as an offset in bytes, where.
func Parse(text string) (Template, error) {
	var t Template
	literal := func(s string) {
		if n := len(t.Parts); n > 0 && t.Parts[n-1].Source == "" {
			t.Parts[n-1].Text += s
		} else if s != "" {
			t.Parts = append(t.Parts, Part{Text: s})
		}
	}
	for at := 0; at < len(text); {
		i := strings.Index(text[at:], "${")
		if i < 0 {
			literal(text[at:])
			break
		}
		if i > 0 && text[at+i-1] == '$' {
			literal(text[at:at+i-1] + "${")
			at += i + 2
			continue
		}
		literal(text[at : at+i])
		start := at + i
		end := strings.IndexByte(text[start:], '}')
		if end < 0 {
			return Template{}, &SyntaxError{start, "this ${ has no closing }; write $${ for a literal ${"}
		}
		source, name, ok := strings.Cut(text[start+2:start+end], ":")
		switch {
		case !ok || name == "" || (source != "env" && source != "file"):
			return Template{}, &SyntaxError{start, "a reference is ${env:NAME} or ${file:/path}; write $${ for a literal ${"}
		case source == "env" && strings.ContainsAny(name, "= \t"):
			return Template{}, &SyntaxError{start, "the name of an environment variable has no blanks and no ="}
		}
		t.Parts = append(t.Parts, Part{source, name})
		at = start + end + 1
	}
	return t, nil
}

// SyntaxError is a malformed reference.
type SyntaxError struct {
	Offset int
	Text   string
}

func (e *SyntaxError) Error() string { return e.Text }

// maxFile is the maximum size of a secret's file: keys and tokens are small.
const maxFile = 1 << 20

// Resolve reads the references of t. An unset or empty variable and an unreadable, empty or oversized file are errors
// that name only the reference. One newline at a file's end is removed.
func Resolve(t Template) (Value, error) {
	var b strings.Builder
	for _, p := range t.Parts {
		text, err := t.resolve(p)
		if err != nil {
			return Value{}, err
		}
		b.WriteString(text)
	}
	return Value{b.String()}, nil
}

func (t Template) resolve(p Part) (string, error) {
	switch p.Source {
	case "":
		return p.Text, nil
	case "env":
		text := os.Getenv(p.Text)
		if text == "" {
			return "", fmt.Errorf("environment variable %s is not set or empty", p.Text)
		}
		return text, nil
	case "file":
		return readFile(t.path(p.Text))
	default:
		return "", errors.New("unknown source of secrets " + p.Source)
	}
}

func (t Template) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(t.Base, name)
}

// Files returns the files that t refers to, each with its FileDigest.
func (t Template) Files() map[string][sha256.Size]byte {
	var files map[string][sha256.Size]byte
	for _, p := range t.Parts {
		if p.Source != "file" {
			continue
		}
		if files == nil {
			files = map[string][sha256.Size]byte{}
		}
		name := t.path(p.Text)
		files[name] = FileDigest(name)
	}
	return files
}

// FileDigest is the digest of the contents of a secret's file. It is all zeros if the file cannot hold a secret: if it
// is missing, unreadable, not a regular file, or too large.
func FileDigest(path string) (sum [sha256.Size]byte) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
		return sum
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return sum
	}
	return sha256.Sum256(raw)
}

func readFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("secret file: %w", err)
	}
	if info.IsDir() || info.Size() > maxFile {
		return "", fmt.Errorf("secret file %s is a directory or larger than %d bytes", path, maxFile)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("secret file: %w", err)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	if text == "" {
		return "", fmt.Errorf("secret file %s is empty", path)
	}
	return text, nil
}

// Placeholder replaces Resolve where a config is only checked: every reference yields a harmless text, and nothing is
// read.
func Placeholder(t Template) (Value, error) { return Value{t.String()}, nil }
