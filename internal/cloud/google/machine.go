package google

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/cloud"
)

// machine is the metadata server, which issues tokens of the account that the machine, the pod or the service has
// (Compute Engine, "Verify VM identity"; GKE, workload identity).
type machine struct {
	asker *cloud.Asker
	base  string
}

// hostVariable names a metadata server other than the usual one. The usual one is an IP address, so no name has to be
// looked up.
const (
	hostVariable = "GCE_METADATA_HOST"
	usualHost    = "169.254.169.254"
)

func (f finder) machine(asker *cloud.Asker) source {
	host := f.getenv(hostVariable)
	if host == "" {
		host = usualHost
	}
	return machine{asker, "http://" + host + "/computeMetadata/v1/instance/service-accounts/default/"}
}

func (m machine) question(path string) cloud.Question {
	return cloud.Question{URL: m.base + path, Machine: true, Fields: []exchange.Field{{Name: "Metadata-Flavor", Value: "Google"}}}
}

func (m machine) idToken(ctx context.Context, audience string) (string, error) {
	body, err := m.asker.Ask(ctx, m.question("identity?"+url.Values{"audience": {audience}, "format": {"full"}}.Encode()))
	return strings.TrimSpace(string(body)), m.explain(err)
}

func (m machine) accessToken(ctx context.Context) (string, error) {
	var answer accessAnswer
	if err := m.asker.AskJSON(ctx, m.question("token"), &answer); err != nil {
		return "", m.explain(err)
	}
	return answer.access()
}

// explain says what else could be done if there is no metadata server.
func (machine) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("there is no file of credentials, and the metadata server gives none (set %s to the path of a file, where this machine is none of Google Cloud's): %w", fileVariable, err)
}
