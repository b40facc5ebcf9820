package cloud_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/cloud"
)

func TestARoundGoesEverywhereOnceWithThoseThatRestLast(t *testing.T) {
	for name, test := range map[string]struct {
		places int
		rest   []int
		want   []int
	}{
		"one":             {1, nil, []int{0, 0, 0}},
		"all are well":    {3, nil, []int{0, 1, 2, 0, 1, 2}},
		"the first rests": {3, []int{0}, []int{1, 2, 0, 1, 2, 0}},
		"all rest":        {2, []int{0, 1}, []int{0, 1, 0}},
	} {
		var r cloud.Round
		var got []int
		for range test.want {
			got = append(got, r.Next(test.places, func(i int) bool { return slices.Contains(test.rest, i) }))
		}
		if !slices.Equal(got, test.want) || r.Tries() != len(got) {
			t.Errorf("%s: %v; want %v", name, got, test.want)
		}
	}
}

func TestWhetherARequestIsSentAgain(t *testing.T) {
	ended, end := context.WithCancel(context.Background())
	end()
	for name, test := range map[string]struct {
		method        string
		failure       cloud.Failure
		places, tries int
		empty, ended  bool // of retries; of the client
		want          bool
		spent         int
	}{
		"it helps nothing":                          {http.MethodGet, cloud.Failure{}, 2, 1, false, false, false, 0},
		"elsewhere":                                 {http.MethodPost, cloud.Failure{Again: true}, 2, 1, false, false, true, 1},
		"elsewhere, for which no retry is left":     {http.MethodPost, cloud.Failure{Again: true}, 2, 1, true, false, false, 0},
		"elsewhere, however long to wait here":      {http.MethodPost, cloud.Failure{Again: true, After: time.Hour}, 2, 1, false, false, true, 1},
		"it may have been taken":                    {http.MethodPost, cloud.Failure{Again: true, Taken: true}, 2, 1, false, false, false, 0},
		"it may, and is idempotent":                 {http.MethodPut, cloud.Failure{Again: true, Taken: true}, 2, 1, false, false, true, 1},
		"here":                                      {http.MethodGet, cloud.Failure{Again: true}, 1, 1, false, false, true, 1},
		"here, when it is asked for":                {http.MethodGet, cloud.Failure{Again: true, After: 2 * time.Second}, 1, 1, false, false, true, 1},
		"here, too late, which takes nothing":       {http.MethodGet, cloud.Failure{Again: true, After: 2*time.Second + 1}, 1, 1, false, false, false, 0},
		"three times":                               {http.MethodGet, cloud.Failure{Again: true}, 1, 3, false, false, false, 0},
		"three times, and there are more places":    {http.MethodGet, cloud.Failure{Again: true}, 5, 3, false, false, true, 1},
		"five times":                                {http.MethodGet, cloud.Failure{Again: true}, 5, 5, false, false, false, 0},
		"the client is gone":                        {http.MethodGet, cloud.Failure{Again: true}, 2, 1, false, true, false, 0},
		"another proof, with no retry left":         {http.MethodPost, cloud.Failure{Renew: true}, 1, 1, true, false, true, 0},
		"another proof, for which the client waits": {http.MethodPost, cloud.Failure{Renew: true}, 1, 1, false, true, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if test.ended {
					ctx = ended
				}
				retries, most := cloud.NewRetries(), left(cloud.NewRetries())
				if test.empty {
					left(retries)
					most = 0
				}
				var r cloud.Round
				for range test.tries {
					r.Next(test.places, well)
				}
				begin := time.Now()
				if got := r.Again(ctx, test.method, test.failure, retries); got != test.want {
					t.Errorf("got %v", got)
				}
				if spent := most - left(retries); spent != test.spent {
					t.Errorf("it took %d retries, not %d", spent, test.spent)
				}
				if took := time.Since(begin); test.places == 1 && test.want && !test.failure.Renew && took < test.failure.After {
					t.Errorf("it waited for %v", took)
				}
			})
		})
	}
}

func well(int) bool { return false }

// left takes all that there are.
func left(r *cloud.Retries) (n int) {
	for r.Spend() {
		n++
	}
	return n
}

func TestAnotherProofIsTriedOnceWhereTheFirstOneWasNotAccepted(t *testing.T) {
	var r cloud.Round
	r.Next(2, well)
	refused := cloud.Failure{Renew: true}
	if !r.Again(t.Context(), http.MethodPost, refused, cloud.NewRetries()) || r.Next(2, well) != 0 {
		t.Error("it does not go to the same place again")
	}
	if !r.Renewed() || r.Again(t.Context(), http.MethodPost, refused, cloud.NewRetries()) {
		t.Error("it helps only once")
	}
}

func TestATermEndsOnceAndGivesBackWhatTheCallHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own, site := cloud.NewPool(cloud.PoolBounds{Max: 1}), cloud.NewPool(cloud.PoolBounds{Max: 1})
		var term cloud.Term
		ctx := term.Begin(t.Context(), time.Second)
		for _, p := range []*cloud.Pool{own, site} {
			if err := p.Acquire(ctx); err != nil {
				t.Fatal(err)
			}
			term.Hold(p)
		}
		if err := term.Met(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) //nolint:forbidigo // synctest's time
		if ctx.Err() != nil {
			t.Error("the limit counts on behind the answer")
		}
		term.End()
		term.End()
		if ctx.Err() == nil || own.Status().Busy != 0 || site.Status().Busy != 0 {
			t.Errorf("it holds %+v, %+v", own.Status(), site.Status())
		}
	})
}

func TestWhatAClientIsToldOfACallThatHasFailed(t *testing.T) {
	refused := fault.FunctionRefused.New("")
	missing := fault.CredentialsMissing.New("")
	for name, test := range map[string]struct {
		err        error
		late, gone bool
		want       string
	}{
		"a fault":                          {refused, false, false, fault.FunctionRefused.Code},
		"a fault, and then the limit":      {refused, true, false, fault.FunctionRefused.Code},
		"the limit while waiting":          {missing, true, false, fault.FunctionTimeout.Code},
		"the limit":                        {context.Canceled, true, false, fault.FunctionTimeout.Code},
		"nobody could be reached":          {&exchange.SendError{Dial: true, Err: errors.New("refused")}, false, false, fault.BackendUnreachable.Code},
		"what nobody has thought of":       {errors.New("odd"), false, false, fault.Unexpected.Code},
		"the client's end, whatever it is": {refused, true, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, leave := context.WithCancelCause(t.Context())
				defer leave(nil)
				gone := errors.New("gone")
				var term cloud.Term
				ctx := term.Begin(client, time.Second)
				defer term.End()
				if test.late {
					time.Sleep(2 * time.Second) //nolint:forbidigo // synctest's time
					synctest.Wait()
					if term.Met() == nil {
						t.Error("the answer is in time")
					}
				}
				if test.gone {
					leave(gone)
				}
				err := term.Explain(client, ctx, test.err, "AWS Lambda", "orders")
				f, ok := errors.AsType[*fault.Fault](err)
				if test.want == "" && err != gone || test.want != "" && (!ok || f.Code != test.want) { //nolint:errorlint // as it is
					t.Errorf("got %v", err)
				}
			})
		})
	}
}
