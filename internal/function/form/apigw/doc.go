// Package apigw turns requests into the events that functions of AWS Lambda get, and
// their answers into responses: those of Amazon API Gateway (payload formats 2.0,
// which function URLs use as well, and 1.0) and of Application Load Balancers.
//
// Where a format is silent or its implementations differ, this package decides: paths
// stay percent-encoded (as function URLs send rawPath), and a text body that is
// no valid UTF-8 goes as base64, so that no byte is ever lost.
//
//   - format.go: the formats by name.
//   - event.go, v1.go, alb.go: the events.
//   - socket.go: the events of WebSockets, and what functions answer to them.
//   - answer.go: answers that come whole; prelude.go: those that are streamed; members.go: their JSON.
package apigw
