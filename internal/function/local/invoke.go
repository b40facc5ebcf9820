package local

import (
	"net/http"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local/program"
	"github.com/weir-gateway/weir/internal/function/local/runtimeapi"
)

// Invoke gives a payload to one instance (see function.Invoker).
func (b *backend) Invoke(r *http.Request, i function.Invocation) (function.Answer, error) {
	answer := function.Answer{Version: latest}
	contract, ok := b.contract.(*lambda)
	if !ok {
		return answer, fault.Unexpected.New("", fault.Internal("the function %s takes requests, not payloads", b.name))
	}
	if len(i.Payload) > runtimeapi.MaxPayload {
		return answer, tooLarge()
	}
	q := &question{id: i.ID, payload: i.Payload, clientContext: i.ClientContext, qualifier: i.Qualifier}
	if i.Log {
		q.log = &logTail{version: latest, memory: b.memory}
		answer.Log = q.log.end
	}
	_, err := b.counted(r, func() (*http.Response, error) {
		return b.ask(r, func(place *lease) (*http.Response, error) {
			result, err := contract.invoke(r, b, place, q)
			answer.Payload, answer.Stream, answer.ContentType = result.Payload, result.Stream, result.ContentType
			if err != nil {
				return nil, err
			}
			return exchange.NewResponse(r, http.StatusOK), nil // for those that count attempts
		})
	})
	return answer, err
}

// Facts returns what the config and the program say.
func (b *backend) Facts() function.Facts {
	return function.Facts{
		Contract: string(b.program.Contract), Payloads: b.program.Contract == program.Lambda,
		Handler: b.handler, Memory: int64(b.memory), Timeout: b.timeout(), Version: latest,
	}
}
