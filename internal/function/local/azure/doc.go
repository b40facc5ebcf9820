// Package azure is the host's side of an Azure Functions app that is a custom handler. It reads host.json and the
// function.json of each function, finds the function of a request by the routes in them, and makes the payloads of
// functions that are not given the request itself.
//
// Documented behaviour follows "Azure Functions custom handlers" and "host.json reference" of Microsoft Learn. What
// only the Functions host decides, such as the shape of Query and the names of fields, follows its open source. The
// package starts no process and opens no connection.
package azure
