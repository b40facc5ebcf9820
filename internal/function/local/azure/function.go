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
)

// The values in function.json that have a meaning here.
const (
	levelAnonymous = "anonymous"
	levelFunction  = "function" // for a trigger that names none

	bindingTrigger = "httpTrigger"
	bindingHTTP    = "http"
	returnValue    = "$return"
)

// functionFile is a function.json.
type functionFile struct {
	Disabled json.RawMessage // a boolean, or the name of a setting that holds one
	Bindings []binding
}

type binding struct {
	Type, Direction, Name string
	Methods               []string
	Route                 string
	AuthLevel             string
}

// nameForm is the form of a function's name.
var nameForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,127}$`)

// readFunctions reads the function.json of each folder below the app's, and the routes of host.json, which need no
// function.json.
func (a *App) readFunctions(host *hostFile) error {
	entries, err := os.ReadDir(a.Folder)
	if err != nil {
		return err //nolint:wrapcheck // it names the folder
	}
	for _, entry := range entries {
		var file functionFile
		path := filepath.Join(a.Folder, entry.Name(), "function.json")
		err := readJSON(path, &file)
		switch {
		case errors.Is(err, fs.ErrNotExist), err != nil && !entry.IsDir():
			continue
		case err != nil:
			return err
		}
		name := entry.Name()
		if why := a.leftOut(name, &file, host); why != "" {
			a.Ignored[name] = why
			continue
		}
		f, why, err := newFunction(name, &file, host)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", path, err)
		case why != "":
			a.Ignored[name] = why
		default:
			a.Functions = append(a.Functions, f)
		}
	}
	return a.addRoutes(host)
}

// leftOut returns why a function is not served, whatever its bindings, "" if it is served.
func (a *App) leftOut(name string, file *functionFile, host *hostFile) string {
	switch {
	case !nameForm.MatchString(name) || strings.EqualFold(name, "host"):
		return "has a name that no function may have"
	case len(host.Functions) > 0 && !slices.ContainsFunc(host.Functions, func(n string) bool { return strings.EqualFold(n, name) }):
		return "is not among the functions that host.json lists"
	case a.disabled(name, file.Disabled):
		return "is disabled"
	}
	return ""
}

func (a *App) disabled(name string, written json.RawMessage) bool {
	value := strings.Trim(string(written), `"`)
	if setting, ok := a.Settings[value]; ok {
		value = setting
	}
	if setting, ok := a.Settings["AzureWebJobs."+name+".Disabled"]; ok {
		value = setting
	}
	return strings.EqualFold(value, "true") || value == "1"
}

// newFunction makes the function of a function.json. If HTTP does not call the function, why says what it is instead.
func newFunction(name string, file *functionFile, host *hostFile) (f *Function, why string, err error) {
	f = &Function{Name: name, Level: levelFunction}
	for _, b := range file.Bindings {
		output := strings.EqualFold(b.Direction, "out")
		switch {
		case strings.EqualFold(b.Type, bindingTrigger) && !output:
			if err := f.trigger(b, host.prefix()); err != nil {
				return nil, "", err
			}
		case strings.HasSuffix(strings.ToLower(b.Type), "trigger"):
			return nil, fmt.Sprintf("is called by a %s, and only HTTP calls functions here", b.Type), nil
		case !output:
			return nil, fmt.Sprintf("has the input %q of type %s, which nobody fills here", b.Name, b.Type), nil
		case strings.EqualFold(b.Type, bindingHTTP):
			f.Response = b.Name
		default:
			f.Outputs = append(f.Outputs, Output{b.Name, b.Type})
		}
	}
	if f.Trigger == "" {
		return nil, "has no trigger", nil
	}
	f.Passed = host.passes() && f.Response != "" && len(f.Outputs) == 0
	return f, "", nil
}

func (f *Function) trigger(b binding, prefix string) error {
	if b.Name == "" {
		return errors.New("the httpTrigger has no name")
	}
	f.Trigger = b.Name
	for _, method := range b.Methods {
		f.Methods = append(f.Methods, strings.ToUpper(method))
	}
	return f.reach(prefix, b.Route, b.AuthLevel)
}

// reach sets where the function is reached, and who may call it on Azure.
func (f *Function) reach(prefix, template, level string) (err error) {
	if level != "" {
		f.Level = strings.ToLower(level)
	}
	if !slices.Contains([]string{levelAnonymous, levelFunction, "admin"}, f.Level) {
		return fmt.Errorf("authLevel: %q is none of anonymous, function, admin", level)
	}
	if template == "" {
		template = f.Name
	}
	if f.route, err = parseRoute(prefix, template); err != nil {
		return fmt.Errorf("route %q: %w", template, err)
	}
	return nil
}

// addRoutes makes a function from each route of host.json, which leads to the handler as a whole.
func (a *App) addRoutes(host *hostFile) error {
	routes := host.CustomHandler.HTTP.Routes
	if len(routes) > 0 && !host.passes() {
		return fmt.Errorf("%s: customHandler.http.routes have no function whose payload could be made; set enableProxying to true", filepath.Join(a.Folder, HostFile))
	}
	for i, written := range routes {
		f := &Function{Name: fmt.Sprintf("http-handler-%d", i+1), Level: levelFunction, Trigger: "req", Response: "res", Passed: true}
		level := written.AuthorizationLevel
		if level == "" {
			level = host.CustomHandler.HTTP.DefaultAuthorizationLevel
		}
		template := written.Route
		if template == "" {
			template = "{*route}"
		}
		if err := f.reach(host.prefix(), template, level); err != nil {
			return fmt.Errorf("%s: customHandler.http.routes: %w", filepath.Join(a.Folder, HostFile), err)
		}
		a.Functions = append(a.Functions, f)
	}
	return nil
}
