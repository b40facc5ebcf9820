package transform

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/filter/transform/media"
)

// negotiate chooses the format of the response by the client's Accept, before anything is sent: a request whose client
// could not read the response must change nothing.
func (p *passage) negotiate(r *http.Request) error {
	s := &p.response
	p.write = &s.to[0]
	if len(s.to) == 1 {
		return nil
	}
	ranges := strings.Join(exchange.RequestHead(r).Values("Accept"), ",")
	if strings.TrimSpace(ranges) == "" {
		return nil
	}
	p.write = nil
	best := 0
	for i := range s.to {
		for _, mediaType := range media.Types(s.to[i].name) {
			if q := quality(ranges, mediaType); q > best {
				best, p.write = q, &s.to[i]
			}
		}
	}
	if p.write == nil {
		return fault.NotAcceptable.New("There is "+types(s.to)+".", fault.WithField("Vary", "Accept"))
	}
	return nil
}

// quality is the client's weight for a media type, in thousandths, taken from the most precise range that contains it
// (RFC 9110 section 12.5.1).
func quality(ranges, mediaType string) int {
	group, _, _ := strings.Cut(mediaType, "/")
	best, precise := 0, 0
	for item := range strings.SplitSeq(ranges, ",") {
		name, params, _ := strings.Cut(item, ";")
		precision := 0
		switch strings.ToLower(strings.TrimSpace(name)) {
		case mediaType:
			precision = 3
		case group + "/*":
			precision = 2
		case "*/*":
			precision = 1
		}
		if precision > precise {
			best, precise = weight(params), precision
		}
	}
	return best
}

// weight reads q among the parameters of a range; an invalid q counts as 0.
func weight(params string) int {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if !strings.EqualFold(name, "q") {
			continue
		}
		q, err := strconv.ParseFloat(value, 64)
		if err != nil || q < 0 || q > 1 {
			return 0
		}
		return int(q * 1000)
	}
	return 1000
}
