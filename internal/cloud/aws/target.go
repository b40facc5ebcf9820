package aws

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Target is a function of AWS Lambda.
type Target struct {
	Partition string // "aws", "aws-cn"; "" if the name is not an ARN
	Region    string // "" if nothing says it
	Account   string // twelve digits; "" for that of the credentials
	Name      string
	Qualifier string // a version or an alias; "" for the latest
}

// The grammar of AWS's API reference (Invoke, FunctionName and Qualifier).
var (
	regionForm    = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-\d$`)
	accountForm   = regexp.MustCompile(`^\d{12}$`)
	nameForm      = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)
	qualifierForm = regexp.MustCompile(`^(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9_-]{1,128})$`)
	partitionForm = regexp.MustCompile(`^aws(-[a-z]+)*$`)
	roleForm      = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+$`)
	sessionForm   = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`) // of STS, AssumeRole
	externalForm  = regexp.MustCompile(`^[\w+=,.@:/-]{2,}$`)
)

const mostExternal = 1224

// arnParts is the number of parts of arn:aws:lambda:REGION:ACCOUNT:function:NAME.
const arnParts = 7

// ParseTarget reads NAME[:QUALIFIER][@REGION], or the ARN of a function with or without a qualifier.
func ParseTarget(text string) (Target, error) {
	if strings.HasPrefix(text, "arn:") {
		return parseARN(text)
	}
	var t Target
	name, region, regional := strings.Cut(text, "@")
	t.Region = region
	if regional {
		if err := CheckRegion(region); err != nil {
			return t, err
		}
	}
	var qualified bool
	t.Name, t.Qualifier, qualified = strings.Cut(name, ":")
	err := t.check(qualified)
	return t, err
}

func parseARN(text string) (Target, error) {
	if strings.Contains(text, "@") {
		return Target{}, errors.New("an ARN says its region itself, so no @ follows it")
	}
	parts := strings.Split(text, ":")
	if len(parts) < arnParts || len(parts) > arnParts+1 || parts[2] != "lambda" || parts[5] != "function" {
		return Target{}, errors.New("the ARN of a function is arn:aws:lambda:REGION:ACCOUNT:function:NAME, with :ALIAS or not")
	}
	t := Target{Partition: parts[1], Region: parts[3], Account: parts[4], Name: parts[6]}
	if len(parts) > arnParts {
		t.Qualifier = parts[7]
	}
	if !partitionForm.MatchString(t.Partition) {
		return t, fmt.Errorf("%q is no partition of AWS; most functions are in aws", t.Partition)
	}
	if err := CheckRegion(t.Region); err != nil {
		return t, err
	}
	if !accountForm.MatchString(t.Account) {
		return t, fmt.Errorf("%q is no account; accounts have twelve digits", t.Account)
	}
	err := t.check(len(parts) > arnParts)
	return t, err
}

func (t *Target) check(qualified bool) error {
	switch {
	case !nameForm.MatchString(t.Name):
		return fmt.Errorf("%q is no name of a function; names are at most 64 letters, digits, - and _", t.Name)
	case qualified && !qualifierForm.MatchString(t.Qualifier):
		return fmt.Errorf("%q is neither an alias nor a version", t.Qualifier)
	}
	return nil
}

// CheckRegion says what is wrong with the name of a region.
func CheckRegion(region string) error {
	if !regionForm.MatchString(region) {
		return fmt.Errorf("%q is no region; regions are called like eu-west-1", region)
	}
	return nil
}

// CheckRole says what is wrong with the ARN of a role.
func CheckRole(arn string) error {
	if !roleForm.MatchString(arn) {
		return fmt.Errorf("%q is no role; roles are named by their ARN, as arn:aws:iam::123456789012:role/gateway", arn)
	}
	return nil
}

// In returns the function of the same name in another region.
func (t Target) In(region string) Target {
	t.Region = region
	return t
}

// FunctionName returns the name that the API is given, without the qualifier.
func (t Target) FunctionName() string {
	if t.Account == "" {
		return t.Name
	}
	return "arn:" + t.Partition + ":lambda:" + t.Region + ":" + t.Account + ":function:" + t.Name
}

// String returns the form that routes use.
func (t Target) String() string {
	text := t.FunctionName()
	if t.Qualifier != "" {
		text += ":" + t.Qualifier
	}
	if t.Account == "" && t.Region != "" {
		text += "@" + t.Region
	}
	return text
}

// suffixes are the domains of partitions, by the prefix of their regions.
var suffixes = []struct{ prefix, domain string }{
	{"cn-", "amazonaws.com.cn"},
	{"us-iso-", "c2s.ic.gov"},
	{"us-isob-", "sc2s.sgov.gov"},
	{"us-isof-", "csp.hci.ic.gov"},
	{"eu-isoe-", "cloud.adc-e.uk"},
	{"eusc-", "amazonaws.eu"},
}

// Host returns the host of an AWS service's API in a region: "lambda.eu-west-1.amazonaws.com".
func Host(service, region string) string {
	domain := "amazonaws.com"
	for _, s := range suffixes {
		if strings.HasPrefix(region, s.prefix) {
			domain = s.domain
		}
	}
	return service + "." + region + "." + domain
}
