// Command orders is a function with AWS's own library, for clients of the Lambda API: the payload says what it does.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type question struct {
	Do   string `json:"do"`
	Text string `json:"text"`
	Size int    `json:"size"`
	File string `json:"file"`
}

type told struct {
	Text      string            `json:"text"`
	RequestID string            `json:"requestId"`
	ARN       string            `json:"arn"`
	Custom    map[string]string `json:"custom"`
	Left      string            `json:"left"`
}

func main() { lambda.Start(handle) }

func handle(ctx context.Context, q question) (any, error) {
	switch q.Do {
	case "error":
		return nil, errors.New("no such order")
	case "panic":
		panic("out of tea")
	case "exit":
		os.Exit(3)
	case "hang":
		select {}
	case "log":
		fmt.Println("a line of " + q.Text) //nolint:forbidigo // a function's output is its log
	case "big":
		return strings.Repeat("x", q.Size), nil
	case "wait": // until the file exists
		for {
			if _, err := os.Stat(q.File); err == nil {
				return "waited", nil
			}
			time.Sleep(time.Millisecond) //nolint:forbidigo // a function that takes its time
		}
	case "note": // for a test to find later
		return nil, os.WriteFile(q.File, []byte(q.Text), 0o600)
	case "stream":
		return io.MultiReader(strings.NewReader("first "), strings.NewReader("second")), nil
	case "break":
		return &events.LambdaFunctionURLStreamingResponse{StatusCode: http.StatusCreated, Body: io.MultiReader(strings.NewReader("first "), broken{})}, nil
	case "prelude":
		return &events.LambdaFunctionURLStreamingResponse{StatusCode: http.StatusCreated, Body: strings.NewReader("first second")}, nil
	}
	return answer(ctx, q)
}

func answer(ctx context.Context, q question) (any, error) {
	lc, ok := lambdacontext.FromContext(ctx)
	deadline, has := ctx.Deadline()
	if !ok || !has {
		return nil, errors.New("there is no context")
	}
	left := "none"
	if d := time.Until(deadline); d > 0 && d <= time.Minute {
		left = "some"
	}
	return told{q.Text, lc.AwsRequestID, lc.InvokedFunctionArn, lc.ClientContext.Custom, left}, nil
}

// broken is a stream that breaks off.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }
