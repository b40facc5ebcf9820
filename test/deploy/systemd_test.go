package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/test/weirtest"
)

// TestSystemdTakesTheUnits has systemd check the units: it reports unknown keys, invalid values and missing programs.
func TestSystemdTakesTheUnits(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze here")
	}
	folder := t.TempDir()
	var units []string
	for _, name := range []string{"weir.service", "weir.socket"} {
		text := strings.ReplaceAll(read(t, "systemd", name), "/usr/local/bin/weir", weirtest.Binary(t))
		units = append(units, filepath.Join(folder, name))
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(tool, append([]string{"verify", "--man=no"}, units...)...).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, folder) || strings.HasPrefix(line, "weir.") { // messages about other units do not count
			t.Errorf("%s", line)
		}
	}
}

// TestTheServiceIsGivenWhatAConfigWithoutWordsNeeds checks the unit's figures against the defaults of a config that
// sets nothing.
func TestTheServiceIsGivenWhatAConfigWithoutWordsNeeds(t *testing.T) {
	number := func(key string) int {
		m := regexp.MustCompile(`(?m)^` + key + `=(\d+)$`).FindStringSubmatch(read(t, "systemd", "weir.service"))
		if m == nil {
			t.Fatalf("there is no %s", key)
		}
		n, _ := strconv.Atoi(m[1]) // it consists of digits
		return n
	}
	usual := config.DefaultShutdown()
	if stop := time.Duration(number("TimeoutStopSec")) * time.Second; stop <= usual.Delay+usual.Drain {
		t.Errorf("it is killed after %s, and may take %s", stop, usual.Delay+usual.Drain)
	}
	if files := number("LimitNOFILE"); files <= 2*config.DefaultLimits().Connections {
		t.Errorf("%d files, for %d connections with two each", files, config.DefaultLimits().Connections)
	}
}
