module github.com/weir-gateway/weir/examples/polyglot/functions/go

go 1.26.0
