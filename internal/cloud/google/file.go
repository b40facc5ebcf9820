package google

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/cloud"
)

// parser reads credential files.
type parser struct {
	asker *cloud.Asker
	// given says that the content stands in the config. Files of workload identity federation are then refused, so
	// nothing that they name is read or asked. Otherwise anyone who may write a route could read any file of the
	// gateway and have it sent wherever they like (Google, "Externally sourced credentials").
	given bool
}

// file is what all kinds of credential files have in common, and what tells them apart.
type file struct {
	Type     string
	Universe string `json:"universe_domain"`
}

// universe is the only universe that is known.
const universe = "googleapis.com"

// parse returns the source that a credential file describes.
func (p parser) parse(text []byte) (source, error) {
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, errors.New("it is no file of credentials, which would be JSON")
	}
	if f.Universe != "" && f.Universe != universe {
		return nil, fmt.Errorf("its universe_domain is %s, and only %s is known here", f.Universe, universe)
	}
	if p.given && !slices.Contains([]string{"service_account", "authorized_user"}, f.Type) {
		return nil, fmt.Errorf("credentials of the type %q cannot be given in the config, only a service account's key or a user's; name the file in %s", f.Type, fileVariable)
	}
	switch f.Type {
	case "service_account":
		return p.serviceAccount(text)
	case "authorized_user":
		return p.user(text)
	case "external_account":
		return p.external(text)
	case "impersonated_service_account":
		return p.impersonated(text)
	}
	return nil, fmt.Errorf("credentials of the type %q are not understood", f.Type)
}

// decode reads the fields of one kind.
func decode(text []byte, into any) error {
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("its fields are not understood: %w", err)
	}
	return nil
}

// impersonatedFile is what `gcloud auth application-default login
// --impersonate-service-account` writes.
type impersonatedFile struct {
	URL       string `json:"service_account_impersonation_url"`
	Delegates []string
	Source    json.RawMessage `json:"source_credentials"`
}

func (p parser) impersonated(text []byte) (source, error) {
	var f impersonatedFile
	if err := decode(text, &f); err != nil {
		return nil, err
	}
	var kind file
	if json.Unmarshal(f.Source, &kind) == nil && kind.Type == "impersonated_service_account" {
		return nil, errors.New("its source_credentials are impersonated themselves; accounts between are its delegates")
	}
	from, err := p.parse(f.Source)
	if err != nil {
		return nil, fmt.Errorf("source_credentials: %w", err)
	}
	who, err := accountOf(f.URL, f.Delegates)
	if err != nil {
		return nil, err
	}
	return impersonation{p.asker, from, who}, nil
}

// accountOf reads an address of the IAM Credentials API at which an account is impersonated.
func accountOf(address string, delegates []string) (account, error) {
	base, behind, ok := strings.Cut(address, "/v1/projects/-/serviceAccounts/")
	email, _, _ := strings.Cut(behind, ":")
	if !ok || email == "" {
		return account{}, errors.New("service_account_impersonation_url is none of the IAM Credentials API")
	}
	for i, d := range delegates { // they may be full resource names
		delegates[i] = d[strings.LastIndex(d, "/")+1:]
	}
	return account{base, email, delegates}, nil
}
