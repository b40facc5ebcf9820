module github.com/weir-gateway/weir/examples/shop/functions/offers

go 1.26.0
