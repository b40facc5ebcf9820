package main

import (
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

func TestHandle(t *testing.T) {
	tests := []struct {
		name       string
		parameters map[string]string
		status     int
		body       string
		cookies    int
	}{
		{"one", map[string]string{"id": "2"}, 200, `{"id":"2","item":"Tea pot","total":3450}`, 1},
		{"none such", map[string]string{"id": "9"}, 404, `{"error":"there is no order 9"}`, 0},
		{"all", nil, 200, `{"orders":[{"id":"1","item":"Darjeeling, 250 g","total":1290},{"id":"2","item":"Tea pot","total":3450},{"id":"3","item":"Oolong, 100 g","total":980}]}`, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			res, err := handle(t.Context(), events.APIGatewayV2HTTPRequest{PathParameters: test.parameters})
			if err != nil || res.StatusCode != test.status || res.Body != test.body || len(res.Cookies) != test.cookies {
				t.Errorf("got %+v, %v; want %d %s and %d cookies", res, err, test.status, test.body, test.cookies)
			}
		})
	}
}
