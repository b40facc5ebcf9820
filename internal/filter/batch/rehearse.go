package batch

import (
	"net/http"

	"github.com/weir-gateway/weir/internal/filter"
)

// rehearsed returns the parts of the batch in r (filter.Policy).
func (b *batch) rehearsed(r *http.Request) ([]filter.Part, error) {
	requests, err := b.requests(r)
	if err != nil {
		return nil, err
	}
	s := b.hear(r)
	list := make([]filter.Part, len(requests))
	for i := range requests {
		p := &requests[i]
		list[i] = filter.Part{ID: p.id, Request: s.inner(r, p)}
		for _, at := range p.depends {
			list[i].After = append(list[i].After, requests[at].id)
		}
	}
	return list, nil
}
