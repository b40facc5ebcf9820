package azure

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// payload is posted to a handler that does not get the request itself.
type payload struct {
	Data     map[string]any
	Metadata map[string]any
}

// request is the value of an httpTrigger. Empty values are left out, as the host does.
type request struct {
	URL        string `json:"Url"`
	Method     string
	Query      map[string]string // values of one name joined by commas
	Headers    map[string][]string
	Params     map[string]any // null if an optional one is missing
	Identities []identity
	Body       *string `json:",omitempty"`
}

// identity is how .NET writes a ClaimsIdentity. There is one anonymous identity. A caller that the gateway recognised
// is in the header fields that every backend gets.
type identity struct {
	AuthenticationType *string
	IsAuthenticated    bool
	Actor              *string
	BootstrapContext   *string
	Claims             []string
	Label, Name        *string
	NameClaimType      string
	RoleClaimType      string
}

func nobody() []identity {
	return []identity{{
		Claims:        []string{},
		NameClaimType: "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
		RoleClaimType: "http://schemas.microsoft.com/ws/2008/06/identity/claims/role",
	}}
}

// sys is the part of the metadata that every trigger has.
type sys struct {
	MethodName string
	UtcNow     string
	RandGUID   string `json:"RandGuid"`
}

// Payload makes the payload that f is posted for r. r's exchange says how the client reached the gateway. body is the
// whole body, path is escaped, and params are what f's route took from it.
func (f *Function) Payload(r *http.Request, path string, params []Param, body []byte, random string) ([]byte, error) {
	in := request{Method: r.Method, Query: query(r.URL.RawQuery), Headers: headers(r), Params: make(map[string]any, len(params)), Identities: nobody()}
	in.URL = origin(r) + path
	if r.URL.RawQuery != "" {
		in.URL += "?" + r.URL.RawQuery
	}
	metadata := map[string]any{
		"Query": in.Query, "Headers": firstOf(in.Headers),
		"sys": sys{MethodName: f.Name, UtcNow: time.Now().UTC().Format("2006-01-02T15:04:05.0000000Z07:00"), RandGUID: random},
	}
	for _, p := range params {
		if p.Missing {
			in.Params[p.Name] = nil
			continue
		}
		in.Params[p.Name], metadata[p.Name] = p.Value, p.Value
	}
	if len(body) > 0 {
		text := asText(body, exchange.RequestHead(r).Get("Content-Type"))
		in.Body = &text
	}
	var out bytes.Buffer
	out.Grow(len(body) + payloadHeadBytes)
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(payload{Data: map[string]any{f.Trigger: in}, Metadata: metadata}); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	return out.Bytes(), nil
}

// payloadHeadBytes is roughly the size of a payload without its body.
const payloadHeadBytes = 4 << 10

// origin returns scheme and authority as the client used them.
func origin(r *http.Request) string {
	client := &exchange.Of(r).Client
	scheme, host := client.Scheme, client.Host
	if scheme == "" {
		scheme = "http"
	}
	if host == "" {
		host = r.Host
	}
	return scheme + "://" + host
}

func query(raw string) map[string]string {
	values, _ := url.ParseQuery(raw) // parts that are not a query are left out
	joined := make(map[string]string, len(values))
	for name, list := range values {
		joined[name] = strings.Join(list, ",")
	}
	return joined
}

func headers(r *http.Request) map[string][]string {
	head := exchange.RequestHead(r)
	fields := make(map[string][]string, head.Len()+1)
	for _, name := range head.Names() {
		canonical := http.CanonicalHeaderKey(name)
		fields[canonical] = append(fields[canonical], head.Values(name)...)
	}
	fields["Host"] = []string{r.Host}
	return fields
}

func firstOf(fields map[string][]string) map[string]string {
	joined := make(map[string]string, len(fields))
	for name, list := range fields {
		joined[name] = strings.Join(list, ",")
	}
	return joined
}

// asText returns a body as the host does: bytes and multipart forms as base64, everything else as text. What is not
// UTF-8 becomes base64 too, because JSON could not hold it.
func asText(body []byte, contentType string) string {
	media, _, _ := mime.ParseMediaType(contentType) // "" counts as text
	if media == "application/octet-stream" || strings.HasPrefix(media, "multipart/") || !utf8.Valid(body) {
		return base64.StdEncoding.EncodeToString(body)
	}
	return string(body)
}
