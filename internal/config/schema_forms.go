package config

import (
	"reflect"
	"slices"

	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// The forms without their short form, for decoding the long form and for the schema.
type (
	plainListener  listenerForm
	plainAnnounced announcedForm
	plainService   serviceForm
	plainTimeouts  timeoutsForm
	plainRetry     retryForm
	plainBalance   balanceForm
	plainCookie    cookieForm
	plainBudget    budgetForm
	plainBreaker   breakerForm
	plainAdmin     adminForm
	plainTrust     trustForm
	plainLimits    limitsForm
	plainShutdown  shutdownForm
	plainMetrics   metricsForm
	plainAccessLog accessLogForm
	plainTraces    tracesForm
	plainPath      pathForm
	plainEndpoint  endpointForm
	plainResolver  resolverForm
	plainLambdaAPI lambdaAPIForm
	plainAccessKey accessKeyForm
	plainHealth    healthForm
	plainOutlier   outlierForm
	plainHold      holdForm
	plainRegistry  registryForm
	plainToken     registryTokenForm
	plainHolding   registryLimitsForm
)

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

// DocSchema implements doc.SchemaWriter.
func (FileSecret) DocSchema() *doc.Schema { return text("a file's path, or a reference ${env:NAME}") }

func (bound) DocSchema() *doc.Schema { return durationText() }

func (volume) DocSchema() *doc.Schema { return rate(0).DocSchema() }

func (rate) DocSchema() *doc.Schema {
	return either(doc.SchemaOf(reflect.TypeFor[doc.Size]()), off())
}

func (quota) DocSchema() *doc.Schema { return either(count(), off()) }

func (timeoutsForm) DocSchema() *doc.Schema { return doc.SchemaOr[plainTimeouts](durationText()) }

func (retryForm) DocSchema() *doc.Schema { return doc.SchemaOr[plainRetry](count(), off()) }

// DocSchema implements doc.SchemaWriter.
func (Forwarded) DocSchema() *doc.Schema {
	return either(oneOrMany(&doc.Schema{Enum: forward.Withholdable()}), &doc.Schema{Enum: []string{none}, Description: "the backend gets none of them"})
}

func (balanceForm) DocSchema() *doc.Schema {
	return doc.SchemaOr[plainBalance](&doc.Schema{Enum: slices.DeleteFunc(balances(), func(by string) bool { return by == byHash })})
}

func (cookieForm) DocSchema() *doc.Schema {
	return doc.SchemaOr[plainCookie](&doc.Schema{Type: doc.Types{"boolean"}}, text("its name"))
}

func (warmForm) DocSchema() *doc.Schema { return durationText() }

func (excessForm) DocSchema() *doc.Schema {
	return either(&doc.Schema{Type: doc.Types{"string"}, Pattern: `^\d{3,4}%$`, Examples: []any{"150%"}}, off())
}

func (shareOrNone) DocSchema() *doc.Schema { return either(percentForm(0).DocSchema(), off()) }

func (budgetForm) DocSchema() *doc.Schema {
	return doc.SchemaOr[plainBudget](percentForm(0).DocSchema(), off())
}

func (breakerForm) DocSchema() *doc.Schema {
	return doc.SchemaOr[plainBreaker](percentForm(0).DocSchema(), off())
}

func (percentForm) DocSchema() *doc.Schema {
	return &doc.Schema{Type: doc.Types{"string"}, Pattern: `^(\d{1,2}|100)%$`}
}

func (adminForm) DocSchema() *doc.Schema { return doc.SchemaOr[plainAdmin](text("an address, or off")) }

func (metricsForm) DocSchema() *doc.Schema { return doc.SchemaOr[plainMetrics](text("the word open")) }

func (accessLogForm) DocSchema() *doc.Schema {
	return doc.SchemaOr[plainAccessLog](text("stderr, stdout, off, or the path of a file"))
}

func (tracesForm) DocSchema() *doc.Schema {
	return doc.SchemaOr[plainTraces](text("the URL of a collector, or off"))
}

func (ratioForm) DocSchema() *doc.Schema {
	return &doc.Schema{Type: doc.Types{"string"}, Pattern: ratioPattern, Examples: []any{"10%"}}
}

func (trustForm) DocSchema() *doc.Schema {
	return doc.SchemaOr[plainTrust](Prefix{}.DocSchema(), listOf(Prefix{}.DocSchema()))
}

func (limitsForm) DocSchema() *doc.Schema { return doc.SchemaOf(reflect.TypeFor[plainLimits]()) }

func (shutdownForm) DocSchema() *doc.Schema { return doc.SchemaOf(reflect.TypeFor[plainShutdown]()) }

func (listenerForm) DocSchema() *doc.Schema { return doc.SchemaOr[plainListener](text("an address")) }

func (announcedForm) DocSchema() *doc.Schema {
	return doc.SchemaOr[plainAnnounced](&doc.Schema{Type: doc.Types{"boolean"}})
}

func (serviceForm) DocSchema() *doc.Schema {
	return doc.SchemaOr[plainService](text("where its endpoints are found"), listOf(endpointForm{}.DocSchema()))
}

func (healthForm) DocSchema() *doc.Schema {
	return doc.SchemaOr[plainHealth](text("a path, tcp, grpc, or none"))
}

func (outlierForm) DocSchema() *doc.Schema { return doc.SchemaOr[plainOutlier](count(), off()) }

func (holdForm) DocSchema() *doc.Schema { return doc.SchemaOr[plainHold](durationText()) }

func (wait) DocSchema() *doc.Schema { return durationText() }

func (panicForm) DocSchema() *doc.Schema { return either(percentForm(0).DocSchema(), off()) }

func (statusForm) DocSchema() *doc.Schema {
	return either(count(), &doc.Schema{Type: doc.Types{"string"}, Pattern: `^[1-5]\d\d(-[1-5]\d\d)?$`, Examples: []any{"200-299"}})
}

func (resolverForm) DocSchema() *doc.Schema {
	return doc.SchemaOr[plainResolver](text("the address of a server"), listOf(text("the address of a server")))
}

func (endpointForm) DocSchema() *doc.Schema { return doc.SchemaOr[plainEndpoint](text("host:port")) }

func (pathForm) DocSchema() *doc.Schema { return doc.SchemaOr[plainPath](text("a pattern")) }

func (requestForm) DocSchema() *doc.Schema {
	return doc.SchemaOr[longRequestForm](text("METHOD [host]/path"))
}

func (tlsForm) DocSchema() *doc.Schema {
	pair := doc.SchemaOf(reflect.TypeFor[certificateForm]())
	return either(&doc.Schema{Enum: []string{"passthrough"}}, doc.SchemaOf(reflect.TypeFor[serverTLSForm]()), listOf(pair))
}

func (cipherForm) DocSchema() *doc.Schema { return oneOrMany(&doc.Schema{Enum: cipherNames()}) }

func (curveForm) DocSchema() *doc.Schema { return oneOrMany(&doc.Schema{Enum: curveNames()}) }

func oneOrMany(item *doc.Schema) *doc.Schema { return either(item, listOf(item)) }

func (fieldsForm) DocSchema() *doc.Schema {
	value := doc.SchemaOr[fieldValueForm](&doc.Schema{Type: doc.Types{"string", "number", "boolean"}})
	return either(mapOf(value), listOf(doc.SchemaOf(reflect.TypeFor[fieldForm]())))
}
