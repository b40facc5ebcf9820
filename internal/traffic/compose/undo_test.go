package compose_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// shop has backends that change something. The diary records what each was asked for. Stock and orders do as they are
// told; payment answers what the test wants.
type shop struct {
	diary

	world
}

// sells makes the shop; payment answers the step that is called last.
func sells(payment backend) *shop {
	s := &shop{world: world{}}
	for name, b := range map[string]backend{
		"stock":  func(r *http.Request) (*http.Response, error) { return reply(r, 201, `{"id":"r`+lastSegment(r)+`"}`) },
		"orders": func(r *http.Request) (*http.Response, error) { return reply(r, 201, `{"id":9007199254740993}`) },
		"pay":    payment,
	} {
		s.world[name] = func(r *http.Request) (*http.Response, error) {
			body := ""
			if r.Body != nil {
				text, _ := io.ReadAll(r.Body)
				body = " " + string(text)
			}
			s.note(strings.TrimSpace(r.Method + " " + name + r.URL.Path + body))
			if r.Method == http.MethodDelete {
				return reply(r, 204, "")
			}
			return b(r)
		}
	}
	return s
}

func lastSegment(r *http.Request) string {
	return r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
}

// buying is a composition whose steps depend on each other: stock, order, payment.
const buying = `  POST /buy:
    compose:
      stock:
        to: http://stock/items/7
        body: { n: 1 }
        undo: http://stock/reservations/{=steps.stock.body.id}
      order:
        to: http://orders/orders
        body: { reservation: =steps.stock.body.id }
        undo:
          path: /orders/{=string(steps.order.body.id)}/state
          method: PUT
          body: { state: cancelled, reservation: =steps.stock.body.id }
      payment:
        to: http://pay/payments
        status: { 402: pass }
        body: { order: =steps.order.body.id }
`

func buy(tb testing.TB, c http.RoundTripper) answered {
	tb.Helper()
	return ask(tb, c, request(http.MethodPost, "/buy", ""))
}

const (
	bought = `POST stock/items/7 {"n":1}
POST orders/orders {"reservation":"r7"}
POST pay/payments {"order":9007199254740993}`
	takenBack = bought + `
PUT orders/orders/9007199254740993/state {"state":"cancelled","reservation":"r7"}
DELETE stock/reservations/r7`
)

func TestWhatWasDoneIsUndoneInReverseWhereALaterStepFails(t *testing.T) {
	for name, c := range map[string]struct {
		payment backend
		status  int
		diary   string
	}{
		"nothing fails":               {says(201, `{}`), 200, bought},
		"a step fails":                {says(500, ``), 502, takenBack},
		"a step's answer is an error": {says(402, `{"why":"poor"}`), 402, takenBack},
		"a step is refused":           {says(400, ``), 502, takenBack},
		"nobody answers": {func(*http.Request) (*http.Response, error) {
			return nil, &exchange.SendError{Sent: exchange.SentNothing, Dial: true, Err: errors.New("refused")}
		}, 502, takenBack},
	} {
		t.Run(name, func(t *testing.T) {
			s := sells(c.payment)
			got := buy(t, s.route(t, buying))
			if got.status != c.status || s.String() != c.diary {
				t.Errorf("got %d %s %v, want %d, by\n%s\nwant\n%s", got.status, got.body, got.err, c.status, s, c.diary)
			}
		})
	}
}

// If return cannot be computed from the steps, the whole composition has failed.
func TestAnAnswerThatCannotBeMadeUndoesTheSteps(t *testing.T) {
	s := sells(says(201, `{}`))
	got := buy(t, s.route(t, buying+"    return: =steps.payment.body.receipt\n"))
	if got.status != http.StatusBadGateway || s.String() != takenBack {
		t.Errorf("got %d, by\n%s", got.status, s)
	}
}

func TestUndoGoesOnWhenTheClientHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(context.Background())
		s := sells(func(r *http.Request) (*http.Response, error) {
			leave()
			<-r.Context().Done()
			return nil, context.Cause(r.Context())
		})
		r := request(http.MethodPost, "/buy", "")
		got := ask(t, s.route(t, buying), r.WithContext(exchange.Context(ctx, exchange.Of(r))))
		if !errors.Is(got.err, context.Canceled) || s.String() != takenBack {
			t.Errorf("got %v, by\n%s", got.err, s)
		}
	})
}

// A write that is under way when another step fails is allowed to finish. Otherwise its change would stay, and nobody
// would know.
func TestAWriteThatCanBeUndoneIsLetFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sells(says(500, ""))
		slow := s.world["stock"]
		s.world["stock"] = func(r *http.Request) (*http.Response, error) {
			select {
			case <-r.Context().Done():
				return nil, context.Cause(r.Context())
			case <-time.After(time.Second):
				return slow(r)
			}
		}
		c := s.route(t, `  POST /buy:
    compose:
      stock: { to: http://stock/items/7, body: {}, undo: 'http://stock/reservations/{=steps.stock.body.id}' }
      payment: { to: http://pay/payments, body: {} }
`)
		got := buy(t, c)
		const want = "POST pay/payments {}\nPOST stock/items/7 {}\nDELETE stock/reservations/r7"
		if got.status != http.StatusBadGateway || s.String() != want {
			t.Errorf("got %d, by\n%s\nwant\n%s", got.status, s, want)
		}
	})
}

// TestWhatMayHaveBeenDoneIsUndoneWhereThatNeedsNoAnswer undoes a call that was sent and not answered: it is unknown
// whether the call took effect.
func TestWhatMayHaveBeenDoneIsUndoneWhereThatNeedsNoAnswer(t *testing.T) {
	const known = "undo: http://pay/payments/7"
	const given = "undo: 'http://pay/payments/{=steps.payment.body.id}'"
	lost := &exchange.SendError{Sent: exchange.SentAll, Err: io.ErrUnexpectedEOF}
	for name, c := range map[string]struct {
		undo    string
		payment backend
		undone  bool
	}{
		"an error of the server, passed on": {known + "\n        status: { 4xx: pass, 5xx: pass }", says(502, ""), true},
		"refused, passed on":                {known + "\n        status: { 4xx: pass, 5xx: pass }", says(409, ""), false},
		"lost, by a name that is known":     {known, func(*http.Request) (*http.Response, error) { return nil, lost }, true},
		"lost, by what it would have said":  {given, func(*http.Request) (*http.Response, error) { return nil, lost }, false},
		"an error of the server":            {known, says(500, ""), true},
		"refused":                           {known, says(409, ""), false},
		"never sent":                        {known, func(*http.Request) (*http.Response, error) { return nil, &exchange.SendError{Dial: true, Err: io.EOF} }, false},
		"an answer that is no JSON":         {given, says(201, "<html>"), false},
	} {
		t.Run(name, func(t *testing.T) {
			s := sells(c.payment)
			got := buy(t, s.route(t, "  POST /buy:\n    compose:\n      payment:\n        to: http://pay/payments\n        body: {}\n        "+c.undo+"\n"))
			if undone := strings.Contains(s.String(), "DELETE"); got.status < 400 || undone != c.undone {
				t.Errorf("got %d, undone %t, by\n%s", got.status, undone, s)
			}
		})
	}
}

func TestEachElementThatWasDoneIsUndoneByWhatItGave(t *testing.T) {
	s := sells(nil)
	stock := s.world["stock"]
	s.world["stock"] = func(r *http.Request) (*http.Response, error) {
		if lastSegment(r) == "c" {
			return reply(r, 409, "")
		}
		return stock(r)
	}
	c := s.route(t, `  POST /buy:
    compose:
      stock:
        to: http://stock/items/{=item}
        each: "=['a', 'b', 'c']"
        parallel: 1
        body: {}
        undo:
          path: /reservations/{=steps.stock.body.id}
          query: { of: =item }
`)
	if got := buy(t, c); got.status != http.StatusBadGateway {
		t.Errorf("got %d", got.status)
	}
	const want = "POST stock/items/a {}\nPOST stock/items/b {}\nDELETE stock/reservations/rb\nDELETE stock/reservations/ra"
	if s.String() != want {
		t.Errorf("by\n%s\nwant\n%s", s, want)
	}
}

// TestAnUndoIsTriedAgainAndOneThatFailsStopsNoOther also checks that an undo of something that no longer exists
// counts as done.
func TestAnUndoIsTriedAgainAndOneThatFailsStopsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sells(says(500, ""))
		tries := 0
		orders := s.world["orders"]
		s.world["orders"] = func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodPut {
				return orders(r)
			}
			if tries++; tries < 3 {
				return reply(r, 503, "")
			}
			return reply(r, 400, "")
		}
		s.world["stock"] = func(r *http.Request) (*http.Response, error) {
			s.note(r.Method)
			if r.Method == http.MethodDelete {
				return reply(r, 404, "")
			}
			return reply(r, 201, `{"id":"x"}`)
		}
		got := buy(t, s.route(t, buying))
		if got.status != http.StatusBadGateway || tries != 3 || !strings.HasSuffix(s.String(), "\nDELETE") {
			t.Errorf("got %d after %d tries, by\n%s", got.status, tries, s)
		}
		var steps []string
		for _, a := range got.x.Attempts {
			steps = append(steps, a.Step)
		}
		if all := strings.Join(steps, " "); !strings.HasSuffix(all, "payment order/undo stock/undo") {
			t.Errorf("attempts of: %s", all)
		}
	})
}

func TestUndoingHasABoundOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sells(says(500, ""))
		s.world["orders"] = func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPut {
				<-r.Context().Done()
				return nil, context.Cause(r.Context())
			}
			return reply(r, 201, `{"id":1}`)
		}
		began := time.Now()
		got := buy(t, s.route(t, strings.Replace(buying, "method: PUT", "method: PUT\n          timeout: 2m", 1)))
		if took := time.Since(began); got.status != http.StatusBadGateway || took != time.Minute {
			t.Errorf("got %d after %s", got.status, took)
		}
	})
}
