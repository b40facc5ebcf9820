package exchange_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// entrusted gives a request in a context that is entrusted to whoever sends it, of an exchange that is alone or not.
func entrusted(t *testing.T, alone bool) (*http.Request, *exchange.OutContext, *exchange.Exchange) {
	t.Helper()
	x := new(exchange.Exchange)
	if alone {
		x.Alone()
	}
	c := new(exchange.OutContext)
	c.Under(exchange.Context(t.Context(), x))
	r := (&http.Request{}).WithContext(c)
	c.Entrust(r, x)
	return r, c, x
}

// A request is borrowed once, by who sends it, where nobody else has it; a copy of it is another request.
func TestARequestIsBorrowedOnceWhereItIsAlone(t *testing.T) {
	shared, _, _ := entrusted(t, false)
	if exchange.Borrow(t.Context(), shared) {
		t.Error("one was borrowed that others may have")
	}
	r, _, _ := entrusted(t, true)
	if exchange.Borrow(t.Context(), r.WithContext(r.Context())) {
		t.Error("a copy was borrowed")
	}
	if !exchange.Borrow(t.Context(), r) || exchange.Borrow(t.Context(), r) {
		t.Error("it was not borrowed once")
	}
	if exchange.Return(r); exchange.Borrow(t.Context(), r) {
		t.Error("it was borrowed after it was returned")
	}
	if plain := (&http.Request{}).WithContext(t.Context()); exchange.Borrow(t.Context(), plain) {
		t.Error("one of nobody was borrowed")
	}
}

// While a request is borrowed its context is the borrower's in all, and its maker's before and afterwards.
func TestTheContextOfABorrowedRequestIsTheBorrowers(t *testing.T) {
	r, c, x := entrusted(t, true)
	type key struct{}
	own := errors.New("the borrower's end")
	until := time.Now().Add(time.Hour)
	below, stop := context.WithDeadline(context.WithValue(exchange.MakerContext(r), key{}, "borrowed"), until)
	defer stop()
	borrower, end := context.WithCancelCause(below)
	exchange.Borrow(borrower, r)
	end(own)
	deadline, _ := r.Context().Deadline()
	if !errors.Is(context.Cause(r.Context()), own) || r.Context().Err() == nil || r.Context().Value(key{}) != "borrowed" || !deadline.Equal(until) {
		t.Errorf("%v, %v, %v", context.Cause(r.Context()), r.Context().Value(key{}), deadline)
	}
	select {
	case <-r.Context().Done():
	default:
		t.Error("who waits is not told")
	}
	if exchange.From(r.Context()) != x || exchange.MakerContext(r) != context.Context(&c.Context) || exchange.MakerContext(r).Err() != nil {
		t.Error("the exchange, or the maker's context, is another one")
	}
	exchange.Return(r)
	if _, bounded := r.Context().Deadline(); bounded || r.Context().Err() != nil || r.Context().Value(key{}) != nil || exchange.From(r.Context()) != x {
		t.Errorf("it is %v afterwards", r.Context())
	}
}

// What is used again is borrowed by nobody, and nobody may borrow what it was entrusted with; who has waited for its end keeps it.
func TestAContextThatIsUsedAgainIsBorrowedByNobody(t *testing.T) {
	r, c, _ := entrusted(t, true)
	exchange.Borrow(exchange.MakerContext(r), r)
	c.Cancel(nil)
	if !c.Leave() {
		t.Fatal("it is not used again")
	}
	c.Again(context.WithValue(t.Context(), r, "next"))
	if c.Value(r) != "next" || c.Err() != nil {
		t.Errorf("it has %v of the next request, and ended with %v", c.Value(r), c.Err())
	}
	r, c, _ = entrusted(t, true)
	c.Cancel(nil)
	if c.Leave(); exchange.Borrow(t.Context(), r) {
		t.Error("the request before was borrowed")
	}
	_, c, _ = entrusted(t, true)
	_ = c.Done()
	c.Cancel(nil)
	if c.Leave() {
		t.Error("it is used again though somebody waits")
	}
}
