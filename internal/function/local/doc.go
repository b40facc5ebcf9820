// Package local runs functions on this machine: as many processes of each as
// its requests need, between none and a bound, each started from an empty
// environment and talked to by one of these contracts.
//
//   - lambda: the process fetches API Gateway v2.0 events from an AWS Lambda
//     Runtime API of its own (package runtimeapi) and posts its answers there.
//   - http: the process serves HTTP on the port that PORT names, as on Cloud Run.
//   - azure: the process is the custom handler of an Azure Functions app, and
//     answers for all functions of the app (package azure).
//   - wasm: no process, but a sandbox within this program (package wasm).
//
// What a folder or file means is found out by package program, which process
// serves which request by package pool, and that no process outlives its use,
// nor a killed gateway, by package process.
package local
