package google

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/weir-gateway/weir/internal/cloud"
)

// RegionPlace stands for the region in an address.
const RegionPlace = "{region}"

// Target is a function of Google Cloud: a service of Cloud Run, or a function of Cloud Functions.
type Target struct {
	text    string
	pattern string // its URL, with RegionPlace where a region is known or still missing
	region  string // "" if the URL names none
	project string // its id or its number; "" if the URL names none
}

// The grammars of Google's names (Cloud Run: service names; Cloud Functions: function names; Resource Manager: project
// ids). Projects also have numbers.
var (
	nameForm    = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{0,62}$`)
	regionForm  = regexp.MustCompile(`^[a-z]+-[a-z]+\d{1,2}$`)
	projectForm = regexp.MustCompile(`^[a-z][a-z0-9-]{4,28}[a-z0-9]$`)
	numberForm  = regexp.MustCompile(`^\d{6,20}$`)
	accountForm = regexp.MustCompile(`^[a-z0-9-]+@[a-z0-9.-]+\.gserviceaccount\.com$`)
)

// ParseFunction reads NAME@REGION/PROJECT, or the URL of a function or a service.
func ParseFunction(text string) (Target, error) {
	name, region, project, isURL, err := split(text)
	switch {
	case err != nil:
		return Target{}, err
	case isURL:
		return parseURL(text)
	case !projectForm.MatchString(project):
		return Target{}, fmt.Errorf("%q is no project; a function is NAME@REGION/PROJECT, with the project's id", project)
	}
	return Target{text, "https://" + RegionPlace + "-" + project + ".cloudfunctions.net/" + name, region, project}, nil
}

// ParseService reads NAME@REGION/NUMBER, with the number of the project, or a URL.
func ParseService(text string) (Target, error) {
	name, region, number, isURL, err := split(text)
	switch {
	case err != nil:
		return Target{}, err
	case isURL:
		return parseURL(text)
	case !numberForm.MatchString(number):
		return Target{}, fmt.Errorf("%q is no number of a project, which the addresses of Cloud Run have instead of its id", number)
	}
	return Target{text, "https://" + name + "-" + number + "." + RegionPlace + ".run.app", region, number}, nil
}

func split(text string) (name, region, project string, isURL bool, err error) {
	if strings.Contains(text, "://") {
		return "", "", "", true, nil
	}
	name, place, ok := strings.Cut(text, "@")
	if !ok {
		return "", "", "", false, errors.New("nothing says where it is; write NAME@REGION/PROJECT, or its URL")
	}
	region, project, _ = strings.Cut(place, "/")
	if !nameForm.MatchString(name) {
		return "", "", "", false, fmt.Errorf("%q is no name of a function", name)
	}
	return name, region, project, false, CheckRegion(region)
}

func parseURL(text string) (Target, error) {
	u, err := url.Parse(strings.ReplaceAll(text, RegionPlace, "europe-west1"))
	switch {
	case err != nil || u.Host == "":
		return Target{}, fmt.Errorf("%q is no URL", text)
	case u.Scheme != "https":
		return Target{}, errors.New("it begins with https://, for the token that is sent with each request is a secret")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return Target{}, errors.New("it is a scheme and a host, and the path that comes before the request's")
	}
	if err := cloud.CheckPort(u); err != nil {
		return Target{}, err //nolint:wrapcheck // it says what is wrong
	}
	return Target{text: text, pattern: strings.TrimSuffix(text, "/")}, nil
}

// CheckRegion says what is wrong with the name of a region.
func CheckRegion(region string) error {
	if !regionForm.MatchString(region) {
		return fmt.Errorf("%q is no region; regions are called like europe-west1", region)
	}
	return nil
}

// CheckAccount says what is wrong with the name of a service account.
func CheckAccount(email string) error {
	if !accountForm.MatchString(email) {
		return fmt.Errorf("%q is no service account; they are called like gateway@shop-42.iam.gserviceaccount.com", email)
	}
	return nil
}

// Regional reports whether the address has a place for a region.
func (t Target) Regional() bool { return strings.Contains(t.pattern, RegionPlace) }

// Region returns the region that the target names, or "".
func (t Target) Region() string { return t.region }

// Project returns the id or the number of the target's project, or "" if its URL names none.
func (t Target) Project() string { return t.project }

// In returns the function's URL in a region, without a trailing slash. The region has an effect only if Regional is
// true.
func (t Target) In(region string) string { return strings.ReplaceAll(t.pattern, RegionPlace, region) }

// String returns the target as it was written.
func (t Target) String() string { return t.text }
