// Package media converts bodies: what is read in one format becomes JSON, and JSON is
// written in another. JSON is the form in between, in which numbers keep their own text
// and members their order (package jsonx).
//
//   - format.go: the formats by their names, and what of a Content-Type each reads.
//   - xmlread.go, xmlwrite.go: XML. soap.go: its envelopes.
//   - form.go: application/x-www-form-urlencoded. multipart.go: multipart/form-data.
//   - plain.go: JSON itself, texts, bytes.
//
// A body comes whole, within the bound of whoever has read it. What is bounded here is
// what a body of that size can be made to cost: depth, elements, fields and parts.
// Everything is refused that another reader may read differently: names that stand twice where only one counts,
// invalid UTF-8, document types and with them entities of a document's own.
package media

// The bounds of one body.
const (
	maxDepth    = 60      // elements of XML within each other; as JSON they nest twice as deep
	maxElements = 100_000 // elements and attributes of XML
	maxFields   = 1_000   // fields of a form
	maxParts    = 100     // parts of multipart/form-data
	maxPrefixes = 256     // prefixes that are declared at one place of XML
)
