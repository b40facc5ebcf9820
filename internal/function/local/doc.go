// Package local runs functions on this machine: as many processes of each as its requests need, from none up to a
// bound. Each process starts from an empty environment, and Weir talks to it by one of these contracts:
//
//   - lambda: the process fetches API Gateway v2.0 events from an AWS Lambda
//     Runtime API of its own (package runtimeapi) and posts its answers there.
//   - http: the process serves HTTP on the port that PORT names, as on Cloud Run.
//   - azure: the process is the custom handler of an Azure Functions app, and
//     answers for all functions of the app (package azure).
//   - wasm: no process, but a sandbox within this program (package wasm).
//
// Package program finds out what a folder or file means. Package pool decides which process serves which request.
// Package process makes sure that no process outlives its use or a killed gateway.
package local
