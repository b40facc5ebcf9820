package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
)

// operator talks to the admin API of a running gateway.
type operator struct {
	address string
	token   string // a reference
}

// tokenVariable is the environment variable that holds the token unless --token is given.
const tokenVariable = "WEIR_ADMIN_TOKEN"

func (o *operator) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.address, "admin", config.DefaultAdmin, "`address` of the admin API: HOST:PORT or unix:/PATH")
	c.Flags().StringVar(&o.token, "token", "", "`reference` to its token, such as ${file:/run/secrets/admin} (default ${env:"+tokenVariable+"} if that is set)")
}

// persistent adds the flags to a command with subcommands.
func (o *operator) persistent(c *cobra.Command) {
	own := &cobra.Command{}
	o.flags(own)
	c.PersistentFlags().AddFlagSet(own.Flags())
}

// asked bounds the wait for an answer. The gateway may compile a config meanwhile.
const asked = 2 * time.Minute

// ask is send without a body.
func (o *operator) ask(method, path string, into any, raw *[]byte) error {
	return o.send(method, path, nil, into, raw)
}

// send sends a request. It decodes the JSON of the answer into into, and stores the answer in raw, each unless it is
// nil. If the API refuses the request, the error has the API's words.
func (o *operator) send(method, path string, body io.Reader, into any, raw *[]byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), asked)
	defer cancel()
	client, host := o.client()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+host+path, body)
	if err != nil {
		return usageError{fmt.Errorf("--admin %s: write HOST:PORT or unix:/PATH", o.address)}
	}
	if err := o.authorize(r); err != nil {
		return err
	}
	res, err := client.Do(r)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return fmt.Errorf("no gateway answers at %s (--admin ADDRESS): %w", o.address, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("the response of %s is incomplete: %w", o.address, err)
	}
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNoContent {
		return refusal(res.Status, answer)
	}
	if raw != nil {
		*raw = answer
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s does not answer like the admin API of this version: %w", o.address, err)
	}
	return nil
}

// client returns a client that dials the API; host is the host that requests name.
func (o *operator) client() (client *http.Client, host string) {
	transport := &http.Transport{DisableKeepAlives: true, Proxy: nil} // a proxy from the environment is not for this machine
	host = strings.TrimPrefix(o.address, "http://")
	if path, ok := strings.CutPrefix(o.address, "unix:"); ok {
		host = "weir"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	return &http.Client{Transport: transport, CheckRedirect: httpx.Unfollowed}, host
}

// authorize adds the token, if there is one.
func (o *operator) authorize(r *http.Request) error {
	if o.token == "" {
		own := secret.Template{Parts: []secret.Part{{Source: "env", Text: tokenVariable}}}
		if v, err := secret.Resolve(own); err == nil && !v.Empty() {
			exchange.RequestHead(r).Set("Authorization", "Bearer "+v.Reveal())
		}
		return nil
	}
	template, err := secret.Parse(o.token)
	if err != nil {
		return usageError{fmt.Errorf("--token: %w", err)}
	}
	for _, p := range template.Parts {
		if p.Source == "" {
			return usageError{errors.New("--token: everyone on this machine can read the command line; write ${env:NAME} or ${file:/PATH}")}
		}
	}
	v, err := secret.Resolve(template)
	if err != nil {
		return usageError{fmt.Errorf("--token: %w", err)}
	}
	exchange.RequestHead(r).Set("Authorization", "Bearer "+v.Reveal())
	return nil
}

// refusedError is a refusal by the API, in its words.
type refusedError struct {
	text     string
	problems []string
	config   bool // the config is what cannot be served
	code     string
}

func (e *refusedError) Error() string { return e.text }

func refusal(status string, body []byte) error {
	var problem struct {
		Title, Detail, Code string
		Problems            []string
	}
	if json.Unmarshal(body, &problem) != nil || problem.Title == "" {
		return fmt.Errorf("the admin API answers %s", status)
	}
	return &refusedError{strings.TrimSpace(problem.Title + " " + problem.Detail), problem.Problems, problem.Code == "config-refused" || problem.Code == "config-not-kept", problem.Code}
}

// outcome is the result of a change.
type outcome struct {
	Digest   string
	Changes  []config.Change
	Problems []string
	Hold     *struct{ By string }
}

func rollbackCommand(s Streams) *cobra.Command {
	var o operator
	var release, asJSON bool
	c := &cobra.Command{
		Use:   "rollback [DIGEST]",
		Short: "Return a running gateway to a config that it has served before.",
		Long: `Return to the config that served before the current one, or to the one with the given
digest, which weir status lists. It serves instead of the files until they change into
something that can serve, or until --release.`,
		Example: `  weir rollback                go back one step
  weir rollback 5f2a           go back to the config with this digest (or prefix)
  weir rollback --release      serve the files again`,
		Args: args(0, 1, "at most one digest"),
		RunE: func(_ *cobra.Command, given []string) error {
			method, path := http.MethodPost, "/v1/rollback"
			switch {
			case release && len(given) > 0:
				return usageError{errors.New("--release serves the files again, and takes no digest")}
			case release:
				method, path = http.MethodDelete, "/v1/config"
			case len(given) > 0:
				path += "?to=" + url.QueryEscape(given[0])
			}
			var done outcome
			var raw []byte
			if err := s.saidBy(o.ask(method, path, &done, &raw)); err != nil {
				return err
			}
			if asJSON {
				_, err := s.Out.Write(raw)
				return err
			}
			for _, p := range done.Problems {
				_, _ = fmt.Fprintln(s.Err, s.color(yellow, printable(p)))
			}
			until := ""
			if done.Hold != nil {
				until = ", until the files change or `weir rollback --release`"
			}
			_, err := fmt.Fprintf(s.Out, "serving %s (%s)%s\n", printable(done.Digest), config.Summary(done.Changes), until)
			return err
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&release, "release", false, "serve the files again")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// saidBy prints the problems of a config that the API has refused.
func (s Streams) saidBy(err error) error {
	refused, ok := errors.AsType[*refusedError](err)
	if !ok || !refused.config {
		return err
	}
	for _, p := range refused.problems {
		_, _ = fmt.Fprintln(s.Err, s.color(red, printable(p)))
	}
	_, _ = fmt.Fprintf(s.Err, "weir: %s\n", printable(refused.text))
	return errSaid
}
