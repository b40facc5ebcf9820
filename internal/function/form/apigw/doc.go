// Package apigw turns requests into the events that AWS Lambda functions get, and their answers into responses. The
// events and answers are those of Amazon API Gateway (payload formats 2.0, which function URLs use as well, and 1.0)
// and of Application Load Balancers.
//
// Where a format is silent or its implementations differ, this package decides: paths stay percent-encoded (as function
// URLs send rawPath), and a text body that is not valid UTF-8 is sent as base64, so that no byte is ever lost.
//
//   - format.go: the formats by name.
//   - event.go, v1.go, alb.go: the events.
//   - socket.go: the events of WebSockets, and what functions answer to them.
//   - answer.go: whole answers; prelude.go: streamed answers; members.go: their JSON.
package apigw
