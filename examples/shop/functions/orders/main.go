// Command orders is the shop's order service as an AWS Lambda function. The
// same program runs on Lambda behind an HTTP API or a function URL.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

// order is one order of a customer. Amounts are in cents.
type order struct {
	ID    string `json:"id"`
	Item  string `json:"item"`
	Total int    `json:"total"`
}

func main() { lambda.Start(handle) }

// list returns every order that the shop has ever had.
func list() []order {
	return []order{
		{ID: "1", Item: "Darjeeling, 250 g", Total: 1290},
		{ID: "2", Item: "Tea pot", Total: 3450},
		{ID: "3", Item: "Oolong, 100 g", Total: 980},
	}
}

// handle answers with the order that the path names, or with all orders if it
// names none. With a single order it sets a cookie with the order's ID.
func handle(_ context.Context, event events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	id, one := event.PathParameters["id"]
	if !one {
		return answer(http.StatusOK, map[string]any{"orders": list()})
	}
	for _, o := range list() {
		if o.ID == id {
			res, err := answer(http.StatusOK, o)
			res.Cookies = []string{"last-order=" + o.ID + "; Path=/; HttpOnly; SameSite=Lax"}
			return res, err
		}
	}
	return answer(http.StatusNotFound, map[string]string{"error": "there is no order " + id})
}

func answer(status int, body any) (events.APIGatewayV2HTTPResponse, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return events.APIGatewayV2HTTPResponse{}, fmt.Errorf("answer: %w", err)
	}
	return events.APIGatewayV2HTTPResponse{
		StatusCode: status,
		Headers:    map[string]string{"Content-Type": "application/json"},
		Body:       string(text),
	}, nil
}
