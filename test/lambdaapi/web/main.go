// Command web is a function that answers events of API Gateway: the query says what it does.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func main() { lambda.Start(handle) }

func handle(_ context.Context, e events.APIGatewayV2HTTPRequest) (any, error) {
	switch e.QueryStringParameters["do"] {
	case "echo":
		return events.APIGatewayV2HTTPResponse{
			StatusCode: http.StatusCreated, Headers: map[string]string{"Content-Type": e.Headers["content-type"]}, Body: e.Body, IsBase64Encoded: e.IsBase64Encoded,
		}, nil
	case "empty":
		return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusNoContent}, nil
	case "cookies":
		return events.APIGatewayV2HTTPResponse{
			StatusCode: http.StatusOK, Cookies: []string{"a=1; Path=/", "b=2"}, Body: base64.StdEncoding.EncodeToString([]byte{0, 255}), IsBase64Encoded: true,
		}, nil
	case "missing":
		return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusNotFound, Body: "none"}, nil
	case "stream":
		return &events.LambdaFunctionURLStreamingResponse{
			StatusCode: http.StatusAccepted, Headers: map[string]string{"X-A": "1"}, Cookies: []string{"c=3"}, Body: io.MultiReader(strings.NewReader("first "), strings.NewReader("second")),
		}, nil
	case "error":
		return nil, errors.New("no such order")
	case "panic":
		panic("out of tea")
	case "bad":
		return map[string]any{"statusCode": 99}, nil
	}
	e.RequestContext.RequestID, e.RequestContext.Time, e.RequestContext.TimeEpoch = "", "", 0 // they differ each time
	delete(e.Headers, "x-request-id")
	for name := range e.Headers {
		if strings.HasPrefix(name, "x-forwarded") || name == "forwarded" || strings.HasPrefix(name, "x-amzn-") || name == "traceparent" {
			delete(e.Headers, name)
		}
	}
	text, err := json.Marshal(e)
	return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusOK, Body: string(text)}, err
}
