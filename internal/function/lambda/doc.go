// Package lambda invokes functions of AWS Lambda by its API: a request becomes an event,
// the answer a response, and what the API says of failures an honest status.
//
//   - config.go, reference.go: the config, in its long form and in a route's `to`.
//   - lambda.go: what all functions share: credentials, connections, pools, room.
//   - backend.go: one function: its sites, one for each region, and its bounds.
//   - call.go: one request, with its attempts.
//   - payload.go: what is read of the request, as far as there is room.
//   - answer.go: what comes back whole; stream.go: what is streamed.
//   - failure.go: what went wrong, as a status.
package lambda
