package azure

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// HostFile is the file whose folder is an app.
const HostFile = "host.json"

// App is a custom handler with its functions. It is immutable.
type App struct {
	Folder string // absolute
	// Executable is what host.json names: a file, relative to Folder, or a command. It and Arguments may contain
	// references, see Expand.
	Executable string
	Arguments  []string
	Dir        string // the working folder, absolute
	// Timeout and Init are host.json's functionTimeout and initializationTimeout, 0 if it has none.
	Timeout, Init time.Duration
	Settings      map[string]string // the Values of local.settings.json
	Functions     []*Function       // the most specific route first
	// Ignored has the functions of the folder that are not served: the reason by name.
	Ignored map[string]string
}

// Function is one function of an app that is called by HTTP. It is immutable.
type Function struct {
	Name    string
	Methods []string // upper case; nil: all
	Level   string   // authLevel: anonymous, function, admin. No key is required here
	Trigger string   // the name of the binding that the request arrives by: "req"
	// Response is the name of the response's binding, "$return" for the return value, "" for none.
	Response string
	Outputs  []Output // the other output bindings
	// Passed says that the handler is given the request itself, not a payload.
	Passed bool
	route  route
}

// Output is a binding whose value does not go to the client.
type Output struct{ Name, Type string }

// Read reads the app in folder, an absolute path.
func Read(folder string) (*App, error) {
	var host hostFile
	if err := readJSON(filepath.Join(folder, HostFile), &host); err != nil {
		return nil, err
	}
	a := &App{Folder: folder, Dir: folder, Ignored: map[string]string{}}
	if err := a.configure(&host); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(folder, HostFile), err)
	}
	if err := a.readSettings(); err != nil {
		return nil, err
	}
	if err := a.readFunctions(&host); err != nil {
		return nil, err
	}
	if len(a.Functions) == 0 {
		return nil, fmt.Errorf("%s has no function that HTTP can call; each is a folder with a function.json that has a binding of type httpTrigger%s", folder, a.ignoredList())
	}
	slices.SortStableFunc(a.Functions, func(x, y *Function) int { return x.route.compare(y.route) })
	return a, nil
}

func (a *App) ignoredList() string {
	var list strings.Builder
	for _, name := range a.IgnoredNames() {
		list.WriteString("; " + name + " " + a.Ignored[name])
	}
	return list.String()
}

// hostFile is the part of host.json that concerns a custom handler.
type hostFile struct {
	Version              string
	FunctionTimeout      string
	Functions            []string
	ConfigurationProfile string
	HTTPWorker           json.RawMessage `json:"httpWorker"`
	CustomHandler        *customHandler
	Extensions           struct {
		HTTP struct{ RoutePrefix *string }
	}
}

type customHandler struct {
	Description struct {
		DefaultExecutablePath, DefaultWorkerPath, WorkingDirectory string
		Arguments, WorkerArguments                                 []string
	}
	EnableForwardingHTTPRequest bool `json:"enableForwardingHttpRequest"`
	EnableProxyingHTTPRequest   bool `json:"enableProxyingHttpRequest"`
	InitializationTimeout       string
	Port                        json.RawMessage
	HTTP                        struct {
		EnableProxying            bool
		DefaultAuthorizationLevel string
		Routes                    []struct{ Route, AuthorizationLevel string }
	}
}

// profileOfMCP is the configuration profile for a server that answers all paths.
const profileOfMCP = "mcp-custom-handler"

// configure applies what host.json says about the handler itself.
func (a *App) configure(host *hostFile) error {
	switch {
	case host.Version != "2.0":
		return fmt.Errorf("version is %q; only 2.0 is read", host.Version)
	case host.CustomHandler == nil && len(host.HTTPWorker) > 0:
		return errors.New("httpWorker is the old name of customHandler, which is read; rename it, and put its description below")
	case host.CustomHandler == nil:
		return errors.New("there is no customHandler; apps in C#, Java, JavaScript, PowerShell and Python that need a worker of Azure's are not run here")
	}
	if err := host.applyProfile(); err != nil {
		return err
	}
	handler := host.CustomHandler
	described := handler.Description
	a.Executable = described.DefaultExecutablePath
	switch {
	case a.Executable == "":
		return errors.New("customHandler.description.defaultExecutablePath: name the program")
	case len(handler.Port) > 0 && string(handler.Port) != "null":
		return errors.New("customHandler.port: instances stand side by side and cannot share one port; remove it, and let the program listen on the port in FUNCTIONS_CUSTOMHANDLER_PORT")
	}
	a.Arguments = slices.Clone(described.Arguments)
	if described.DefaultWorkerPath != "" {
		a.Arguments = append(a.Arguments, described.DefaultWorkerPath)
	}
	a.Arguments = append(a.Arguments, described.WorkerArguments...)
	if dir := described.WorkingDirectory; dir != "" {
		a.Dir = within(a.Folder, dir)
	}
	var err error
	if a.Timeout, err = readSpan(host.FunctionTimeout); err != nil {
		return fmt.Errorf("functionTimeout: %w", err)
	}
	if a.Init, err = readSpan(handler.InitializationTimeout); err != nil {
		return fmt.Errorf("customHandler.initializationTimeout: %w", err)
	}
	return nil
}

// within returns a path that may be relative to folder.
func within(folder, path string) string {
	path = filepath.FromSlash(path)
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(folder, path)
}

// applyProfile fills in the values of the configuration profile. Values in the file take precedence.
func (h *hostFile) applyProfile() error {
	switch strings.ToLower(h.ConfigurationProfile) {
	case "", "default":
		return nil
	case profileOfMCP:
	default:
		return fmt.Errorf("configurationProfile: %q is neither default nor %s", h.ConfigurationProfile, profileOfMCP)
	}
	h.CustomHandler.EnableProxyingHTTPRequest = true
	if h.Extensions.HTTP.RoutePrefix == nil {
		h.Extensions.HTTP.RoutePrefix = new(string)
	}
	if routes := &h.CustomHandler.HTTP.Routes; len(*routes) == 0 {
		*routes = append(*routes, struct{ Route, AuthorizationLevel string }{Route: "{*route}"})
	}
	return nil
}

func (h *hostFile) prefix() string {
	if p := h.Extensions.HTTP.RoutePrefix; p != nil {
		return *p
	}
	return "api"
}

// passes reports whether functions that need no payload are given the request itself.
func (h *hostFile) passes() bool {
	c := h.CustomHandler
	return c.EnableForwardingHTTPRequest || c.EnableProxyingHTTPRequest || c.HTTP.EnableProxying
}

// readSpan reads a .NET TimeSpan, [d.]hh:mm:ss. 0 means none: "" and "-1".
func readSpan(text string) (time.Duration, error) {
	if text == "" || text == "-1" || text == "-00:00:01" {
		return 0, nil
	}
	const form = `^(?:(\d{1,4})\.)?(\d{1,2}):(\d{1,2}):(\d{1,2})$`
	parts := regexp.MustCompile(form).FindStringSubmatch(text)
	if parts == nil {
		return 0, fmt.Errorf("%q is no time; write hours, minutes and seconds, as 00:05:00", text)
	}
	var span time.Duration
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		n := 0
		for _, digit := range parts[i+1] {
			n = 10*n + int(digit-'0')
		}
		span += time.Duration(n) * unit
	}
	if span == 0 {
		return 0, fmt.Errorf("%q is no time at all; write -1 for no bound", text)
	}
	return span, nil
}

// readSettings reads local.settings.json, from which Azure's own tools take the variables of a local app.
func (a *App) readSettings() error {
	var file struct {
		IsEncrypted bool
		Values      map[string]any
	}
	path := filepath.Join(a.Folder, "local.settings.json")
	err := readJSON(path, &file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case file.IsEncrypted:
		return fmt.Errorf("%s: it is encrypted; run `func settings decrypt`, or remove it and set the variables under env", path)
	}
	a.Settings = make(map[string]string, len(file.Values))
	for name, value := range file.Values {
		switch value.(type) {
		case string, float64, bool:
			a.Settings[name] = fmt.Sprint(value)
		default:
			return fmt.Errorf("%s: Values.%s is no text", path, name)
		}
	}
	return nil
}

// Expand returns text with the variables in it: %NAME% is replaced if lookup knows NAME, and kept otherwise, as in the
// host.
func Expand(text string, lookup func(string) (string, bool)) string {
	return reference.ReplaceAllStringFunc(text, func(found string) string {
		if value, ok := lookup(found[1 : len(found)-1]); ok {
			return value
		}
		return found
	})
}

var reference = regexp.MustCompile(`%[^%=]+%`)

// Find returns the function of that name, or says why there is none.
func (a *App) Find(name string) (*Function, error) {
	for _, f := range a.Functions {
		if strings.EqualFold(f.Name, name) {
			return f, nil
		}
	}
	for ignored, why := range a.Ignored {
		if strings.EqualFold(ignored, name) {
			return nil, fmt.Errorf("the function %q %s", name, why)
		}
	}
	names := make([]string, 0, len(a.Functions))
	for _, f := range a.Functions {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return nil, fmt.Errorf("the app has no function %q; it has %s", name, strings.Join(names, ", "))
}

// IgnoredNames returns the keys of Ignored in order.
func (a *App) IgnoredNames() []string {
	names := make([]string, 0, len(a.Ignored))
	for name := range a.Ignored {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Guarded returns the names of the functions for which Azure would require a key.
func (a *App) Guarded() []string {
	var names []string
	for _, f := range a.Functions {
		if f.Level != levelAnonymous {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	return names
}

// mostConfig bounds each of the files of an app.
const mostConfig = 1 << 20

// readJSON reads a JSON file that may have comments, as the host does.
func readJSON(path string, into any) error {
	info, err := os.Stat(path)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", path)
	}
	if info.Size() > mostConfig {
		return fmt.Errorf("%s has more than %d bytes", path, mostConfig)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	if err := json.Unmarshal(withoutComments(text), into); err != nil {
		return fmt.Errorf("%s: %w", path, placed(text, err))
	}
	return nil
}
