package sign

import (
	"net"
	"strings"

	"github.com/weir-gateway/weir/internal/cloud/aws"
)

// placeOf gives service and region of a host of AWS, "" for what it does not tell:
//
//	ID.lambda-url.REGION.on.aws                     a function URL
//	ID.execute-api.REGION.amazonaws.com             API Gateway
//	ID.execute-api.REGION.vpce.amazonaws.com        the same within a VPC
//	ID.ID.vpc-lattice-svcs.REGION.on.aws            VPC Lattice
//	SERVICE.REGION.amazonaws.com                    any other API
func placeOf(host string) (service, region string) {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(host, ".")), ".")
	for i := 0; i+2 < len(labels); i++ {
		if aws.CheckRegion(labels[i+1]) != nil || !ownDomain(labels[i+2:]) {
			continue
		}
		if labels[i] == "lambda-url" {
			return "lambda", labels[i+1]
		}
		return labels[i], labels[i+1]
	}
	return "", ""
}

// ownDomain tells whether a domain is one of AWS's, whose names say a region before it.
func ownDomain(labels []string) bool {
	switch strings.Join(labels, ".") {
	case "on.aws", "amazonaws.com", "amazonaws.com.cn", "vpce.amazonaws.com", "vpce.amazonaws.com.cn", "amazonaws.eu", "api.aws":
		return true
	default:
		return false
	}
}
