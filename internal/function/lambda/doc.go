// Package lambda invokes AWS Lambda functions through the Lambda API. A request becomes an event, the answer becomes a
// response, and the failures that the API reports become honest statuses.
//
//   - config.go, reference.go: the config, in its long form and in a route's `to`.
//   - lambda.go: what all functions share: credentials, connections, pools, room.
//   - backend.go: one function: its sites, one for each region, and its bounds.
//   - call.go: one request, with its attempts.
//   - payload.go: reading the request, as far as there is room.
//   - answer.go: answers that come back whole; stream.go: answers that are streamed.
//   - failure.go: failures, as statuses.
package lambda
