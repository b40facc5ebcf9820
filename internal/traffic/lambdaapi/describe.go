package lambdaapi

import (
	"encoding/json"
	"net/http"
	"runtime"
	"sort"
	"strconv"
	"time"

	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/function"
)

// description is AWS's FunctionConfiguration, with the fields for which there is a value.
type description struct {
	Name          string   `json:"FunctionName"`
	ARN           string   `json:"FunctionArn"`
	Handler       string   `json:"Handler,omitempty"`
	Timeout       int      `json:"Timeout"`    // seconds
	Memory        int64    `json:"MemorySize"` // MB
	Version       string   `json:"Version"`
	State         string   `json:"State"`
	LastUpdate    string   `json:"LastUpdateStatus"`
	Architectures []string `json:"Architectures"`
}

// describe returns what is known of a function, by the qualifier in the request; ok is false if the function takes no
// payloads.
func (a *API) describe(f Function, qualifier string) (d description, ok bool) {
	invoker, ok := f.Backend.(function.Invoker)
	if !ok {
		return d, false
	}
	facts := invoker.Facts()
	architecture := map[string]string{"amd64": "x86_64"}[runtime.GOARCH]
	if architecture == "" {
		architecture = runtime.GOARCH
	}
	return description{
		Name: f.Name, ARN: a.arn(f.Name, qualifier), Handler: facts.Handler, Version: facts.Version,
		Timeout: int((facts.Timeout + time.Second - 1) / time.Second), Memory: facts.Memory >> 20,
		State: "Active", LastUpdate: "Successful", Architectures: []string{architecture},
	}, facts.Payloads
}

func (c *call) json(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err //nolint:wrapcheck // plain structs encode
	}
	c.answer(http.StatusOK, jsonType, text)
	return nil
}

// get implements GetFunction.
func (a *API) get(c *call) error {
	d, err := a.described(c)
	if err != nil {
		return err
	}
	return c.json(struct {
		Configuration description
	}{d})
}

// configuration implements GetFunctionConfiguration.
func (a *API) configuration(c *call) error {
	d, err := a.described(c)
	if err != nil {
		return err
	}
	return c.json(d)
}

func (a *API) described(c *call) (description, error) {
	f, _, err := a.invoker(c)
	if err != nil {
		return description{}, err
	}
	d, _ := a.describe(f, c.qualifier)
	return d, nil
}

// mostListed is how many functions one page of a list has, as in AWS.
const mostListed = 50

// list implements ListFunctions.
func (a *API) list(c *call) error {
	most := mostListed
	if text, ok := httpx.QueryLookup(c.x.Query, "MaxItems"); ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return validation.about("1 validation error detected: Value '%.64s' at 'maxItems' failed to satisfy constraint: it must be a number of 1 or more", text)
		}
		most = min(n, mostListed)
	}
	marker, _ := httpx.QueryLookup(c.x.Query, "Marker")
	page := struct {
		Functions  []description
		NextMarker string `json:",omitempty"`
	}{Functions: []description{}}
	all := a.options.Functions
	for _, f := range all[sort.Search(len(all), func(i int) bool { return all[i].Name >= marker }):] {
		d, ok := a.describe(f, "")
		switch {
		case !ok:
			continue
		case len(page.Functions) == most:
			page.NextMarker = f.Name
			return c.json(page)
		}
		page.Functions = append(page.Functions, d)
	}
	return c.json(page)
}
