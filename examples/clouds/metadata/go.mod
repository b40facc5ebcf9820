module github.com/weir-gateway/weir/examples/clouds/metadata

go 1.26.0
