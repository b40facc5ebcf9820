package sign

import (
	"net"
	"strings"

	"github.com/weir-gateway/weir/internal/cloud/aws"
)

// placeOf returns the service and region of an AWS host, "" for what the host does not tell:
//
//	ID.lambda-url.REGION.on.aws                     a function URL
//	ID.execute-api.REGION.amazonaws.com             API Gateway
//	ID.execute-api.REGION.vpce.amazonaws.com        the same within a VPC
//	ID.ID.vpc-lattice-svcs.REGION.on.aws            VPC Lattice
//	SERVICE.REGION.amazonaws.com                    any other API
//	SERVICE-fips.REGION.amazonaws.com               the same with validated cryptography
//	s3.dualstack.REGION.amazonaws.com               S3 by both versions of IP
func placeOf(host string) (service, region string) {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(host, ".")), ".")
	for i := 0; i+2 < len(labels); i++ {
		if aws.CheckRegion(labels[i+1]) != nil || !ownDomain(labels[i+2:]) {
			continue
		}
		name := labels[i]
		if name == "dualstack" && i > 0 {
			name = labels[i-1]
		}
		return signedAs(strings.TrimSuffix(name, "-fips")), labels[i+1]
	}
	return "", ""
}

// signedAs returns the service name used in signatures for a name in hosts. Most are equal; the exceptions come from
// the services' lists of endpoints and their models in AWS's SDKs.
func signedAs(name string) string {
	switch name {
	case "lambda-url":
		return "lambda"
	case "bedrock-runtime", "bedrock-agent", "bedrock-agent-runtime":
		return "bedrock"
	case "s3-control", "s3-accesspoint":
		return "s3"
	case "email":
		return "ses"
	case "pinpoint":
		return "mobiletargeting"
	case "transcribestreaming":
		return "transcribe"
	case "models-v2-lex", "runtime-v2-lex":
		return "lex"
	case "personalize-runtime", "personalize-events":
		return "personalize"
	default:
		return name
	}
}

// ownDomain tells whether a domain is one of AWS's in which the label before it is a region.
func ownDomain(labels []string) bool {
	switch strings.Join(labels, ".") {
	case "on.aws", "amazonaws.com", "amazonaws.com.cn", "vpce.amazonaws.com", "vpce.amazonaws.com.cn", "amazonaws.eu", "api.aws":
		return true
	default:
		return false
	}
}
