package doc

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// shape writes a tree without positions.
func shape(n *Node) string {
	switch {
	case n == nil:
		return "nil"
	case n.Kind == Scalar:
		return fmt.Sprintf("%q", n.Value)
	case n.Kind == List:
		parts := make([]string, len(n.Items))
		for i, item := range n.Items {
			parts[i] = shape(item)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case n.Kind == Map:
		parts := make([]string, len(n.Entries))
		for i, e := range n.Entries {
			parts[i] = fmt.Sprintf("%q: %s", e.Key, shape(e.Value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return "?"
}

// otherShape writes what go.yaml.in/yaml, a descendant of libyaml, reads from
// src, in the same form.
func otherShape(src string) (string, error) {
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(src), &n); err != nil {
		return "", fmt.Errorf("other reader: %w", err)
	}
	if len(n.Content) == 0 || n.Content[0].Tag == "!!null" { // nothing but comments
		return "{}", nil
	}
	return yamlShape(n.Content[0]), nil
}

func yamlShape(n *yaml.Node) string {
	parts := make([]string, 0, len(n.Content))
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			parts = append(parts, yamlShape(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			parts = append(parts, yamlShape(n.Content[i])+": "+yamlShape(n.Content[i+1]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	default:
		return strconv.Quote(n.Value)
	}
}

func parsed(t *testing.T, src string) (*Node, []Problem) {
	t.Helper()
	var ps Problems
	return Parse("f.yaml", []byte(src), &ps), ps.Sorted()
}
