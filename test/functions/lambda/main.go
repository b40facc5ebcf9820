// Command lambda is a function for tests, written with AWS's own library.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// holdTime is how long /eight/hold takes, so that other requests must be served elsewhere.
const holdTime = 100 * time.Millisecond

func main() { lambda.Start(handle) }

func handle(ctx context.Context, event events.APIGatewayV2HTTPRequest) (any, error) {
	switch event.RawPath {
	case "/error":
		return nil, errors.New("no such order")
	case "/panic":
		panic("out of tea")
	case "/stream":
		return &events.LambdaFunctionURLStreamingResponse{
			StatusCode: 201, Headers: map[string]string{"content-type": "text/event-stream"},
			Cookies: []string{"a=1"}, Body: io.MultiReader(strings.NewReader("data: 1\n\n"), strings.NewReader("data: 2\n\n")),
		}, nil
	case "/stream-error":
		return &events.LambdaFunctionURLStreamingResponse{
			StatusCode: 200, Body: io.MultiReader(strings.NewReader("half"), broken{}),
		}, nil
	case "/context":
		lc, _ := lambdacontext.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		return map[string]any{
			"id": lc.AwsRequestID, "arn": lc.InvokedFunctionArn, "name": lambdacontext.FunctionName,
			"memory": lambdacontext.MemoryLimitInMB, "deadline": deadline.UnixMilli(),
		}, nil
	case "/meet":
		return events.APIGatewayV2HTTPResponse{StatusCode: 200, Body: fmt.Sprintf("met %d", meet(4))}, nil
	case "/eight/hold":
		<-time.After(holdTime)
		return map[string]int{"pid": os.Getpid()}, nil
	case "/event":
		return event, nil
	default:
		return events.APIGatewayV2HTTPResponse{StatusCode: 200, Body: event.Body, Cookies: []string{"a=1", "b=2"}}, nil
	}
}

var (
	meeting sync.Mutex
	here    []chan int
)

// meet returns once the wanted number of requests is in this process.
func meet(wanted int) int {
	meeting.Lock()
	together := make(chan int, 1)
	here = append(here, together)
	if len(here) == wanted {
		for _, one := range here {
			one <- wanted
		}
		here = nil
	}
	meeting.Unlock()
	return <-together
}

// broken is a body that fails.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }
