package listen

import "testing"

func TestClientsLeaveFilesForTheirRequests(t *testing.T) {
	for _, test := range []struct{ limit, files, want int }{
		{20_000, 0, 20_000},
		{20_000, 1 << 20, 20_000},
		{20_000, 20_000, 15_000},
		{20_000, 200, 136},
		{100, 200, 100},
		{20_000, 32, 1},
	} {
		if got := roomForClients(test.limit, test.files); got != test.want {
			t.Errorf("limit %d, %d files: %d connections, want %d", test.limit, test.files, got, test.want)
		}
	}
}
