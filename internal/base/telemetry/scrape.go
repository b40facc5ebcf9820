package telemetry

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Scraping a thousand routes is 40 ms of work. Go's scheduler polls the network when no goroutine is runnable, or after
// 10 ms, so with one processor, which is what a container often has, every request would wait for the scrape. A scrape
// therefore rests after each stretch of work. runtime.Gosched would not do: when no other goroutine is runnable it
// returns at once, without polling the network. A shorter rest would not do either: goroutines that wake each other, as
// the collector and the registry do, run before those that have waited for longer.
const (
	stretch = 200 * time.Microsecond // of writing between two rests
	rest    = time.Millisecond

	// membersPerRest is how many members of a family are collected between two rests. Each has some six metrics, and
	// most of the work is the registry's, which reads them while the collector rests: that is why this is a number and
	// not a time.
	membersPerRest = 16
)

// mostScrapes bounds the scrapes at once.
const mostScrapes = 4

// scrapes answers scrapes from a registry, with rests.
func scrapes(registry *prometheus.Registry, sleep func(time.Duration)) http.Handler {
	plain := promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		Registry: registry, MaxRequestsInFlight: mostScrapes, EnableOpenMetrics: true,
		DisableCompression: true, // the text is compressed here, in the same stretches in which it is written
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paced := &pacedWriter{ResponseWriter: w, sleep: sleep, rested: time.Now()}
		w.Header().Set("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Values("Accept-Encoding")) {
			w.Header().Set("Content-Encoding", "gzip")
			paced.gzip, _ = gzip.NewWriterLevel(w, gzip.BestSpeed) // the level is valid
		}
		plain.ServeHTTP(paced, r)
		paced.end()
	})
}

// collectEach collects from all members of a family, with rests.
func collectEach[M any](members []*M, sleep func(time.Duration), collect func(*M)) {
	for i, m := range members {
		if i%membersPerRest == membersPerRest-1 {
			sleep(rest)
		}
		collect(m)
	}
}

// pacedWriter rests between the pieces of a response, and compresses them.
type pacedWriter struct {
	http.ResponseWriter

	gzip   *gzip.Writer // nil where the scraper does not accept it
	sleep  func(time.Duration)
	rested time.Time // when the last rest ended
}

func (w *pacedWriter) Write(p []byte) (int, error) {
	if time.Since(w.rested) > stretch {
		w.sleep(rest)
		w.rested = time.Now()
	}
	return w.writer().Write(p)
}

// writer gives where the text goes. promhttp removes Content-Encoding before it answers with an error, whose text is
// then not compressed.
func (w *pacedWriter) writer() io.Writer {
	if w.gzip == nil || w.Header().Get("Content-Encoding") == "" {
		return w.ResponseWriter
	}
	return w.gzip
}

// end completes what was compressed. An error is the connection's, which has nobody to tell.
func (w *pacedWriter) end() {
	if w.writer() == w.gzip {
		_ = w.gzip.Close()
	}
}

// acceptsGzip tells whether gzip is named by Accept-Encoding (RFC 9110 section 12.5.3), and not with a weight of zero.
func acceptsGzip(values []string) bool {
	for member := range strings.SplitSeq(strings.Join(values, ","), ",") {
		coding, weight, _ := strings.Cut(member, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			_, q, _ := strings.Cut(weight, "=")
			return strings.Trim(q, " 0.") != "" || strings.TrimSpace(q) == ""
		}
	}
	return false
}
