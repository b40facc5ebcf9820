module github.com/weir-gateway/weir/examples/polyglot/functions/azure

go 1.26.0
