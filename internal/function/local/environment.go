package local

import (
	"maps"
	"os"
	"runtime"
	"slices"
)

// The variables that tell an instance how it and the gateway talk: the port that it must listen on, or the address of
// its Runtime API.
const (
	portVariable       = "PORT"
	runtimeAPIVariable = "AWS_LAMBDA_RUNTIME_API"
)

// environment returns the whole environment of an instance. It has nothing of the gateway's own. It consists of what
// every program needs, what the contract sets, what its runtime adds, and what the config sets, where later ones
// override earlier ones. own are the variables of this one instance and override all others.
func environment(temp string, contract, runtime, configured, own map[string]string) []string {
	all := map[string]string{
		"PATH": defaultPath, "HOME": temp, "TMPDIR": temp, "LANG": "C.UTF-8", "TZ": "UTC",
	}
	if onWindows { // where sockets and temporary files do not work without these
		all["SystemRoot"], all["TEMP"], all["TMP"], all["USERPROFILE"] = os.Getenv("SystemRoot"), temp, temp, temp
		all["PATH"] = os.Getenv("SystemRoot") + `\System32`
	}
	for _, more := range []map[string]string{contract, runtime, configured, own} {
		maps.Copy(all, more)
	}
	list := make([]string, 0, len(all)+1)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, name+"="+all[name])
	}
	return list
}

const onWindows = runtime.GOOS == "windows"

const defaultPath = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
