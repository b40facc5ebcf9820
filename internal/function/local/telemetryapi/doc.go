// Package telemetryapi tells the extensions of one instance what happens to it: AWS
// Lambda's Telemetry API (2022-07-01) and the Logs API before it (2020-08-15). Package
// runtimeapi takes the subscriptions and says what happens; here it becomes records of
// the schema that each subscriber has asked for, which are buffered as it has asked for
// and delivered to where it listens, on this machine.
//
// Where nobody has subscribed, nothing is kept but what happened until the first
// invocation, and nothing is done for an invocation.
//
// https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-logs-api.html
package telemetryapi
