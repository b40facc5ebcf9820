module github.com/weir-gateway/weir/examples/clouds/functions/web

go 1.26.0
