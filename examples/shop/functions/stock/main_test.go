package main

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestWhatIsSetAsideIsGoneUntilItIsPutBack(t *testing.T) {
	room := newRoom().routes()
	for i, test := range []struct {
		method, target, body string
		status               int
		answer               string
	}{
		{"GET", "/stock?item=Tea+pot&item=Coffee", "", 200, `{"Coffee":0,"Tea pot":3}`},
		{"POST", "/reservations", `{"item":"Tea pot"}`, 201, `{"id":1,"item":"Tea pot"}`},
		{"POST", "/reservations", `{"item":"Oolong, 100 g"}`, 409, `{"error":"there is none left"}`},
		{"POST", "/reservations", `{`, 400, `{"error":"unexpected EOF"}`},
		{"GET", "/stock?item=Tea+pot", "", 200, `{"Tea pot":2}`},
		{"DELETE", "/reservations/1", "", 204, ""},
		{"DELETE", "/reservations/1", "", 204, ""},
		{"GET", "/stock?item=Tea+pot", "", 200, `{"Tea pot":3}`},
	} {
		w := httptest.NewRecorder()
		room.ServeHTTP(w, httptest.NewRequest(test.method, test.target, strings.NewReader(test.body)))
		if w.Code != test.status || strings.TrimSpace(w.Body.String()) != test.answer {
			t.Errorf("%d: got %d %s, want %d %s", i, w.Code, w.Body, test.status, test.answer)
		}
	}
}
