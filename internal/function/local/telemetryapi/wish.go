package telemetryapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/loopback"
)

// API is one of the two APIs for subscriptions.
type API int

// The APIs.
const (
	Telemetry API = iota
	Logs
)

// schemas are the versions of records by API. "" is the default, if there is one.
var schemas = map[API]map[string]schema{
	Telemetry: {"2022-07-01": telemetry202207, "2022-12-13": telemetry202212, "2025-01-29": telemetry202501},
	Logs:      {"": logs2020, "2020-08-15": logs2020, "2021-03-18": logs2021},
}

// wish is a subscriber's request after it was checked.
type wish struct {
	schema schema
	types  []string
	items  int // the size of a full batch
	bytes  int
	wait   time.Duration // after which a batch is sent even if it is not full
	to     destination
}

// destination is where batches go: a loopback address.
type destination struct {
	address string // host and port to connect to
	url     string // for HTTP; "" for TCP
	method  string
}

// The bounds of buffering that AWS documents, and its defaults.
const (
	leastItems, mostItems, usualItems = 1000, 10_000, 10_000
	leastBytes, mostBytes, usualBytes = 256 << 10, 1 << 20, 256 << 10
	leastWait, mostWait, usualWait    = 25, 30_000, 1000 // milliseconds
)

// parse reads a subscription. Its error tells the subscriber what is wrong.
func parse(api API, raw []byte) (*wish, error) {
	var asked struct {
		Schema      string   `json:"schemaVersion"`
		Types       []string `json:"types"`
		Destination struct {
			Protocol string `json:"protocol"`
			URI      string `json:"URI"`
			Port     int    `json:"port"`
			Method   string `json:"method"`
			Encoding string `json:"encoding"`
		} `json:"destination"`
		Buffering struct {
			Items *int `json:"maxItems"`
			Bytes *int `json:"maxBytes"`
			Wait  *int `json:"timeoutMs"`
		} `json:"buffering"`
	}
	if err := json.Unmarshal(raw, &asked); err != nil {
		return nil, fmt.Errorf("the subscription cannot be read: %w", err)
	}
	known, ok := schemas[api][asked.Schema]
	if !ok {
		return nil, fmt.Errorf("schemaVersion: %q is none of this API's", asked.Schema)
	}
	w := &wish{schema: known, types: asked.Types}
	if len(w.types) == 0 {
		return nil, errors.New("types: name some of platform, function, extension")
	}
	for _, one := range w.types {
		if one != platformStream && one != functionStream && one != extensionStream {
			return nil, fmt.Errorf("types: %q is none of platform, function, extension", one)
		}
	}
	var wait int
	var errs [4]error
	w.items, errs[0] = within("maxItems", asked.Buffering.Items, leastItems, mostItems, usualItems)
	w.bytes, errs[1] = within("maxBytes", asked.Buffering.Bytes, leastBytes, mostBytes, usualBytes)
	wait, errs[2] = within("timeoutMs", asked.Buffering.Wait, leastWait, mostWait, usualWait)
	w.wait = time.Duration(wait) * time.Millisecond
	to := asked.Destination
	if to.Encoding != "" && to.Encoding != "JSON" {
		errs[3] = fmt.Errorf("destination.encoding: %q is not JSON", to.Encoding)
	} else {
		w.to, errs[3] = parseDestination(to.Protocol, to.URI, to.Method, to.Port)
	}
	return w, errors.Join(errs[:]...)
}

func within(name string, asked *int, least, most, usual int) (int, error) {
	if asked == nil {
		return usual, nil
	}
	if *asked < least || *asked > most {
		return 0, fmt.Errorf("buffering.%s: %d is not from %d to %d", name, *asked, least, most)
	}
	return *asked, nil
}

func parseDestination(protocol, uri, method string, port int) (destination, error) {
	method = cmp.Or(method, http.MethodPost)
	switch {
	case protocol == "TCP" && uri == "" && port > 0 && port <= 65535:
		return destination{address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}, nil
	case protocol != "TCP" && protocol != "HTTP":
		return destination{}, fmt.Errorf("destination.protocol: %q is neither HTTP nor TCP", protocol)
	case method != http.MethodPost && method != http.MethodPut:
		return destination{}, fmt.Errorf("destination.method: %q is neither POST nor PUT", method)
	}
	u, err := url.Parse(uri)
	if err != nil || uri == "" || !strings.EqualFold(u.Scheme, protocol) || u.User != nil {
		return destination{}, fmt.Errorf("destination.URI: %q is no address for %s, as %s://sandbox.localdomain:8080 is", uri, protocol, strings.ToLower(protocol))
	}
	host := u.Hostname()
	if sandbox := []string{"sandbox", "sandbox.localdomain", "localhost"}; slices.Contains(sandbox, strings.ToLower(host)) {
		host = "127.0.0.1" // AWS's name for the instance's machine means this machine
	}
	if !loopback.Name(host) {
		return destination{}, fmt.Errorf("destination.URI: %q is not on this machine; name sandbox.localdomain or a loopback address", uri)
	}
	address := net.JoinHostPort(host, cmp.Or(u.Port(), "80"))
	if protocol == "TCP" {
		return destination{address: address}, nil
	}
	u.Scheme = "http"
	return destination{address: address, url: u.String(), method: method}, nil
}
