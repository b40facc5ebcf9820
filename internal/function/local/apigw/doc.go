// Package apigw turns requests into the events that functions behind Amazon
// API Gateway get, and their answers into responses: the HTTP API payload
// format version 2.0, which Lambda function URLs use as well.
//
// Where that format is silent or its implementations differ, this one decides:
// rawPath stays percent-encoded (as function URLs send it), and a text body
// that is no valid UTF-8 goes as base64, so that no byte is ever lost.
package apigw
