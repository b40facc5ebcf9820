package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// AddTests returns the text of a file with tests appended to its own, in the standard layout; everything else stays as
// it was written. The error says why they cannot be added.
func AddTests(file Source, tests []Test) ([]byte, error) {
	if len(tests) == 0 {
		return file.Data, nil
	}
	var ps doc.Problems
	root := doc.Parse(file.Path, file.Data, &ps)
	if root == nil || root.Kind != doc.Map || ps.Failed() {
		return nil, fmt.Errorf("%s cannot be read", file.Path)
	}
	lines := strings.SplitAfter(string(file.Data), "\n")
	if last := len(lines) - 1; lines[last] == "" {
		lines = lines[:last]
	} else {
		lines[last] += "\n"
	}
	at, indent, head, err := placeForTests(root, lines)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file.Path, err)
	}
	var out bytes.Buffer
	for _, line := range lines[:at] {
		out.WriteString(line)
	}
	out.WriteString(head)
	for _, t := range tests {
		text := strings.TrimSuffix(string(doc.Encode(&doc.Node{Kind: doc.List, Items: []*doc.Node{shortTest(t)}})), "\n")
		for line := range strings.SplitSeq(text, "\n") {
			out.WriteString(strings.Repeat(" ", indent) + line + "\n")
		}
	}
	for _, line := range lines[at:] {
		out.WriteString(line)
	}
	return checkAdded(file, root, out.Bytes(), len(tests))
}

// checkAdded checks that nothing but the tests has been added to a file.
func checkAdded(file Source, before *doc.Node, text []byte, added int) ([]byte, error) {
	var ps doc.Problems
	text = doc.Format(file.Path, text, &ps)
	after := doc.Parse(file.Path, text, &ps)
	if ps.Failed() || after == nil || after.Kind != doc.Map || after.Get("tests") == nil ||
		len(after.Get("tests").Items) != itemsOf(before.Get("tests"))+added {
		return nil, fmt.Errorf("%s has a layout that tests cannot be added to; write `tests:` at its end, and a list below", file.Path)
	}
	return text, nil
}

func itemsOf(n *doc.Node) int {
	if n == nil {
		return 0
	}
	return len(n.Items)
}

// placeForTests finds the line before which tests are added, their indentation, and the text before the first of them.
func placeForTests(root *doc.Node, lines []string) (at, indent int, head string, err error) {
	for i, e := range root.Entries {
		if e.Key != "tests" {
			continue
		}
		if e.Value.Kind != doc.List || len(e.Value.Items) == 0 {
			return 0, 0, "", errors.New("`tests:` holds no list; remove it")
		}
		first := lines[e.Value.Items[0].Pos.Line-1]
		bare := strings.TrimLeft(first, " ")
		if !strings.HasPrefix(bare, "-") {
			return 0, 0, "", errors.New("the tests are written in brackets; write them as lines that begin with a dash")
		}
		at = len(lines)
		if i+1 < len(root.Entries) {
			at = root.Entries[i+1].KeyPos.Line - 1
			for at > 0 && isLoose(lines[at-1]) { // comments belong to the lines after them
				at--
			}
		}
		return at, len(first) - len(bare), "", nil
	}
	const step = 2
	head = "tests:\n"
	if len(root.Entries) > 0 {
		head = "\n" + head
	}
	return len(lines), step, head, nil
}

// isLoose reports whether a line belongs to no value: an empty line, or a comment that is not indented.
func isLoose(line string) bool {
	return strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#")
}

// shortTest returns a test in the form in which people write it.
func shortTest(t Test) *doc.Node {
	f := newFields()
	q := t.Request
	line := doc.EncodeNode(q.Method + " " + q.Host + q.Path)
	if q.Listener == "" && len(q.Headers) == 0 && q.As == "" && q.Client == "" && q.Body == "" {
		f.put("request", line, "")
	} else {
		own := newFields()
		own.put("line", line, "")
		own.text("listener", q.Listener, "")
		own.text("as", q.As, "")
		own.text("client", q.Client, "")
		if len(q.Headers) > 0 {
			headers := newFields()
			for _, h := range q.Headers {
				headers.put(h.Name, doc.EncodeNode(h.Value), "")
			}
			own.put("headers", &headers.Node, "")
		}
		own.text("body", q.Body, "")
		f.put("request", &own.Node, "")
	}
	f.text("group", t.Group, "")
	f.text("route", t.Route, "")
	f.text("backend", t.Backend, "")
	f.number("status", t.Status)
	return &f.Node
}
