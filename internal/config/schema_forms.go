package config

import (
	"reflect"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// The forms without their short form, for the long one and for the schema.
type (
	plainListener listenerForm
	plainService  serviceForm
	plainTimeouts timeoutsForm
	plainRetry    retryForm
	plainAdmin    adminForm
	plainTrust    trustForm
	plainLimits   limitsForm
	plainPath     pathForm
	plainEndpoint endpointForm
)

// orLong is a short form, or the map of T.
func orLong[T any](short ...*doc.Schema) *doc.Schema {
	return either(append(short, doc.SchemaOf(reflect.TypeFor[T]()))...)
}

func durationText() *doc.Schema {
	return either(&doc.Schema{Type: doc.Types{"string"}, Pattern: `^(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+$`, Examples: []any{"5s"}}, off())
}

func count() *doc.Schema { return &doc.Schema{Type: doc.Types{"integer"}} }

// DocSchema implements doc.SchemaWriter.
func (Expr) DocSchema() *doc.Schema { return text("an expression in CEL; it begins with =") }

// DocSchema implements doc.SchemaWriter.
func (Secret) DocSchema() *doc.Schema {
	return text("a text with references ${env:NAME} and ${file:/path}")
}

func (fileSecret) DocSchema() *doc.Schema { return text("a file's path, or a reference ${env:NAME}") }

func (bound) DocSchema() *doc.Schema { return durationText() }

func (timeoutsForm) DocSchema() *doc.Schema { return orLong[plainTimeouts](durationText()) }

func (retryForm) DocSchema() *doc.Schema { return orLong[plainRetry](count(), off()) }

func (prefixForm) DocSchema() *doc.Schema { return text("a range of addresses, as 10.0.0.0/8") }

func (percentForm) DocSchema() *doc.Schema {
	return &doc.Schema{Type: doc.Types{"string"}, Pattern: `^(\d{1,2}|100)%$`}
}

func (adminForm) DocSchema() *doc.Schema { return orLong[plainAdmin](text("an address, or off")) }

func (trustForm) DocSchema() *doc.Schema {
	return orLong[plainTrust](prefixForm{}.DocSchema(), listOf(prefixForm{}.DocSchema()))
}

func (limitsForm) DocSchema() *doc.Schema { return doc.SchemaOf(reflect.TypeFor[plainLimits]()) }

func (listenerForm) DocSchema() *doc.Schema { return orLong[plainListener](text("an address")) }

func (serviceForm) DocSchema() *doc.Schema {
	return orLong[plainService](text("where its endpoints are found"), listOf(endpointForm{}.DocSchema()))
}

func (endpointForm) DocSchema() *doc.Schema { return orLong[plainEndpoint](text("host:port")) }

func (pathForm) DocSchema() *doc.Schema { return orLong[plainPath](text("a pattern")) }

func (requestForm) DocSchema() *doc.Schema {
	return orLong[longRequestForm](text("METHOD [host]/path"))
}

func (tlsForm) DocSchema() *doc.Schema {
	pair := doc.SchemaOf(reflect.TypeFor[certificateForm]())
	return either(&doc.Schema{Enum: []string{"passthrough"}}, pair, listOf(pair))
}

func (fieldsForm) DocSchema() *doc.Schema {
	value := orLong[fieldValueForm](&doc.Schema{Type: doc.Types{"string", "number", "boolean"}})
	return either(mapOf(value), listOf(doc.SchemaOf(reflect.TypeFor[fieldForm]())))
}
