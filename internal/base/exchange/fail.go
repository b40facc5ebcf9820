package exchange

import "net/http"

// Fail answers a request with err as Writer.Fail does; guards use it to refuse a request.
func Fail(w http.ResponseWriter, err error) { WriterOf(w).Fail(err) }

// WriterOf finds the exchange's writer below the writers of third-party handlers, which offer Unwrap()
// http.ResponseWriter. It panics if there is none: code that calls it is only ever reached through Begin.
func WriterOf(w http.ResponseWriter) *Writer {
	for {
		switch v := w.(type) {
		case *Writer:
			return v
		case interface{ Unwrap() http.ResponseWriter }:
			w = v.Unwrap()
		default:
			panic("exchange: the response writer does not lead to an exchange.Writer")
		}
	}
}
