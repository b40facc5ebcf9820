package lambdaapi

import (
	"regexp"
	"testing"
)

// FuzzParseName compares with the regular expression in AWS's model.
func FuzzParseName(f *testing.F) {
	model := regexp.MustCompile(`^(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-[a-z]+)*-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?$`)
	for _, text := range []string{"orders", "orders:$LATEST", "000000000000:function:orders:7", "arn:aws:lambda:us-east-1:000000000000:function:orders:live", "a:b:c", "arn:aws:lambda:::function:x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, ok := parseName(text)
		if !ok {
			return
		}
		if !model.MatchString(text) && !regexp.MustCompile(`^arn:aws`).MatchString(text) { // names may contain regions that do not exist yet
			t.Errorf("%q is no name by AWS's model", text)
		}
		if ref.name == "" || regexp.MustCompile(`[:/]`).MatchString(ref.name+ref.qualifier) {
			t.Errorf("%q became %+v", text, ref)
		}
	})
}
