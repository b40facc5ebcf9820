package house_test

import "github.com/weir-gateway/weir/internal/base/fault"

// kinds lists the codes of the table of problems.
func kinds() []string {
	var codes []string
	for _, k := range fault.Kinds() {
		codes = append(codes, k.Code)
	}
	return codes
}
