package apigw

import (
	"net/http"
	"strings"
)

// EventALB is a request in the form in which an Application Load Balancer gives it to a function. Either the pair of
// single-value maps or the pair of multi-value maps is set, depending on the target group's attribute
// lambda.multi_value_headers.enabled. Query parameters are not decoded.
type EventALB struct {
	RequestContext  RequestContextALB    `json:"requestContext"`
	Method          string               `json:"httpMethod"`
	Path            string               `json:"path"`
	Query           *map[string]string   `json:"queryStringParameters,omitempty"`
	MultiQuery      *map[string][]string `json:"multiValueQueryStringParameters,omitempty"`
	Headers         map[string]string    `json:"headers,omitempty"`
	MultiHeaders    map[string][]string  `json:"multiValueHeaders,omitempty"`
	Body            string               `json:"body"`
	IsBase64Encoded bool                 `json:"isBase64Encoded"`
}

// RequestContextALB identifies the load balancer.
type RequestContextALB struct {
	ELB struct {
		TargetGroupARN string `json:"targetGroupArn"`
	} `json:"elb"`
}

// localTargetGroup stands in for the target group that a load balancer would have.
const localTargetGroup = "arn:aws:elasticloadbalancing:us-east-1:" + localAccount + ":targetgroup/weir/0000000000000000"

func newEventALB(r *http.Request, body []byte, multi bool) EventALB {
	event := EventALB{Method: r.Method, Path: rawPath(r.URL)}
	event.RequestContext.ELB.TargetGroupARN = localTargetGroup
	fields := multiHeaders(r, len(body), strings.ToLower)
	query := multiQuery(r.URL.RawQuery, func(text string) (string, error) { return text, nil })
	if query == nil {
		query = map[string][]string{}
	}
	if multi {
		event.MultiHeaders, event.MultiQuery = fields, &query
	} else {
		single := last(query)
		event.Headers, event.Query = last(fields), &single
	}
	event.Body, event.IsBase64Encoded = encodeBody(body, first(fields, "content-type"), first(fields, "content-encoding"))
	return event
}
