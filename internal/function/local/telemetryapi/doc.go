// Package telemetryapi tells the extensions of one instance what happens to it, through AWS Lambda's Telemetry API
// (2022-07-01) and the older Logs API (2020-08-15). Package runtimeapi takes the subscriptions and reports what
// happens. This package turns that into records of the schema that each subscriber has asked for. It buffers them as
// requested and delivers them to the subscriber's listener, on this machine.
//
// If nothing has subscribed, only the events until the first invocation are kept, and nothing is done for an
// invocation.
//
// https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-logs-api.html
package telemetryapi
