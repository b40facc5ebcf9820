// Package azure is the host's side of an Azure Functions app that is a custom
// handler: it reads host.json and the function.json of each function, finds the
// function of a request by the routes in them, and makes the payloads of those
// that are not given the request itself.
//
// Sources: "Azure Functions custom handlers" and "host.json reference" of
// Microsoft Learn for what is documented, and the open source of the Functions
// host for what only it decides, such as the shape of Query and the names of
// fields. It starts no process and opens no connection.
package azure
