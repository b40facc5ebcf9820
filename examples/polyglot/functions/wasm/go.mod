module github.com/weir-gateway/weir/examples/polyglot/functions/wasm

go 1.26.0
