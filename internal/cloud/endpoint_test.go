package cloud_test

import (
	"testing"

	"github.com/weir-gateway/weir/internal/cloud"
)

func TestEndpoints(t *testing.T) {
	for text, right := range map[string]bool{
		"https://lambda.test": true, "https://lambda.test/": true, "http://127.0.0.1:9000": true, "https://[::1]:65535": true,
		"lambda.test": false, "ftp://lambda.test": false, "https://": false, "https://:443": false, "https://u@lambda.test": false, "https://lambda.test/x": false,
		"https://lambda.test?a": false, "https://lambda.test:0": false, "https://lambda.test:65536": false, "https://lambda.test:99999": false, "https://lambda.test:": false,
	} {
		if err := cloud.CheckEndpoint(text); (err == nil) != right {
			t.Errorf("%s: %v", text, err)
		}
	}
}
