package process

import "testing"

func TestAMarkIsTheWholeNumber(t *testing.T) {
	tests := []struct {
		environ, mark string
		want          bool
	}{
		{"A=1\x00WEIR_FUNCTION_INSTANCE=t.1\x00", "t.1", true},
		{"WEIR_FUNCTION_INSTANCE=t.1", "t.1", true},
		{"WEIR_FUNCTION_INSTANCE=t.12\x00", "t.1", false},
		{"WEIR_FUNCTION_INSTANCE=t.12\x00", "t.", true},
		{"X_WEIR_FUNCTION_INSTANCE=t.1\x00", "t.1", false},
		{"WEIR_FUNCTION_INSTANCE=u.1\x00", "t.", false},
		{"", "t.", false},
	}
	for _, test := range tests {
		if got := carries([]byte(test.environ), []byte("\x00"+InstanceVariable+"="+test.mark)); got != test.want {
			t.Errorf("carries(%q, %q) is %v", test.environ, test.mark, got)
		}
	}
}
