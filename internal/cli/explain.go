package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/control/explain"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

func explainCommand(s Streams) *cobra.Command {
	var q explain.Request
	var o operator
	var asJSON, asDiagram bool
	var data string
	c := &cobra.Command{
		Use:   "explain CONFIG METHOD URL",
		Short: "Show which route a request takes and why, without sending it.",
		Long: `Show which listener and route a request takes, why each near miss lost, the filters in
their order, and the backend. The same code decides as when requests are served.

CONFIG is a file or folder, or "running" for what a gateway serves. For "running" the
output also says which endpoints of a service would be asked, and why others would not.`,
		Example: `  weir explain weir.yaml GET /orders/1
  weir explain weir.yaml POST https://shop.dev/orders -H 'Content-Type: application/json'
  weir explain running GET /orders/1
  weir explain weir.yaml GET /home/ada --as ada
  weir explain weir.yaml GET /home/ada --diagram
  weir explain weir.yaml GET /home/ada --as '{"sub":"ada","scope":"orders:read"}'
  weir explain weir.yaml POST /batch -H 'Content-Type: application/json' -d @batch.json`,
		Args: args(3, 3, "a config, a method and a URL or path"),
		RunE: func(c *cobra.Command, given []string) error {
			q.Method, q.URL = given[1], given[2]
			if c.Flags().Changed("data") {
				body, err := s.data(context.Background(), data)
				if err != nil {
					return usageError{fmt.Errorf("--data: %w", err)}
				}
				q.Body = new(string(body))
			}
			if _, missing := os.Stat(given[0]); missing != nil && given[0] == running {
				return s.explainRunning(&o, q, form(asJSON, asDiagram))
			}
			_, compiled, err := s.check(given[0])
			if err != nil {
				return err
			}
			e, err := explain.Run(compiled, q)
			if err != nil {
				return usageError{err}
			}
			return s.printExplained(e, form(asJSON, asDiagram))
		},
	}
	o.flags(c)
	flags := c.Flags()
	flags.StringArrayVarP(&q.Headers, "header", "H", nil, "header `field` of the request, as \"Name: value\"; may be repeated")
	flags.StringVarP(&data, "data", "d", "", "`text` of the request's body, @FILE, or - for standard input; the parts of a batch are explained too")
	flags.StringVar(&q.As, "as", "", "`caller` of the request: a subject, or a JSON object of claims")
	flags.StringVar(&q.Client, "client", "", "`IP` address of the client (default 127.0.0.1)")
	flags.StringVar(&q.Socket, "socket", "", "`socket` where the request arrives, if there are several")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	flags.BoolVar(&asDiagram, "diagram", false, "print the composition that answers, as a Mermaid flowchart")
	c.MarkFlagsMutuallyExclusive("json", "diagram")
	return c
}

// The formats of an explanation, with the names that the admin API uses; "" is JSON.
const (
	asText    = "text"
	asMermaid = "mermaid"
)

func form(json, diagram bool) string {
	switch {
	case json:
		return ""
	case diagram:
		return asMermaid
	default:
		return asText
	}
}

func (s Streams) printExplained(e snapshot.Explanation, form string) error {
	var text strings.Builder
	var err error
	switch form {
	case asText:
		err = explain.Text(&text, e)
	case asMermaid:
		err = explain.Diagram(&text, e)
	default:
		encoder := json.NewEncoder(s.Out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(e)
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(s.Out, printableLines(text.String()))
	return err
}

// explainRunning asks a running gateway to explain a request.
func (s Streams) explainRunning(o *operator, q explain.Request, form string) error {
	query := url.Values{"method": {q.Method}, "url": {q.URL}, "header": q.Headers}
	for name, value := range map[string]string{"as": q.As, "client": q.Client, "socket": q.Socket} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if form != "" {
		query.Set("format", form)
	}
	method, body := http.MethodGet, io.Reader(nil)
	if q.Body != nil {
		method, body = http.MethodPost, strings.NewReader(*q.Body)
	}
	var said []byte
	if err := o.send(method, "/v1/explain?"+query.Encode(), body, nil, &said); err != nil {
		return err
	}
	if form == "" {
		_, err := s.Out.Write(said)
		return err
	}
	_, err := io.WriteString(s.Out, printableLines(string(said)))
	return err
}
