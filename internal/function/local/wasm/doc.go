// Package wasm runs WebAssembly modules as functions, each in a sandbox of its own within this process. They are core
// modules for WASI preview 1, in one of two forms.
//
//   - A command (it exports _start) is run anew for each request, as CGI runs
//     programs (RFC 3875): the request is in its variables and on its standard
//     input, the response is what it writes to its standard output.
//   - A handler (it exports handle_request) is kept, and called for each request
//     by the HTTP handler ABI of http-wasm.io, for which several languages have
//     libraries.
//
// A sandbox has a bounded memory, clocks, random numbers and its own arguments and variables. It has no files and no
// network. It ends when it traps, exits or takes too long.
package wasm
