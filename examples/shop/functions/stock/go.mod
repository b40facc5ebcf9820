module github.com/weir-gateway/weir/examples/shop/functions/stock

go 1.26.0
