// Package media converts bodies: a body that is read in one format becomes JSON, and JSON is written in another format.
// In the JSON between them, numbers keep their own text and members their order (package jsonx).
//
//   - format.go: the formats by their names, and which Content-Types each reads.
//   - xmlread.go, xmlwrite.go: XML. soap.go: its envelopes.
//   - form.go: application/x-www-form-urlencoded. multipart.go: multipart/form-data.
//   - plain.go: JSON itself, texts, bytes.
//
// A body is passed in whole, and its reader has already limited its size. This package limits what a body of that size
// can cost: depth, elements, fields and parts. It refuses everything that another reader may read differently:
// duplicate names where only one counts, invalid UTF-8, document types and with them a document's own entities.
package media

// The bounds of one body.
const (
	maxDepth    = 60      // nested elements of XML; as JSON they nest twice as deep
	maxElements = 100_000 // elements and attributes of XML
	maxFields   = 1_000   // fields of a form
	maxParts    = 100     // parts of multipart/form-data
	maxPrefixes = 256     // prefixes declared at one place of XML
)
