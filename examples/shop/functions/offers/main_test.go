package main

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRoutes(t *testing.T) {
	tests := []struct {
		path   string
		status int
		body   string
	}{
		{"/offers", 200, `{"pots":{"item":"Tea pot","price":2900},"tea":{"item":"Darjeeling, 250 g","price":990}}`},
		{"/offers/tea", 200, `{"item":"Darjeeling, 250 g","price":990}`},
		{"/offers/coffee", 404, `{"error":"there is no such offer"}`},
	}
	for _, test := range tests {
		w := httptest.NewRecorder()
		routes().ServeHTTP(w, httptest.NewRequest("GET", test.path, nil))
		if w.Code != test.status || strings.TrimSpace(w.Body.String()) != test.body {
			t.Errorf("%s: got %d %s, want %d %s", test.path, w.Code, w.Body, test.status, test.body)
		}
	}
}
