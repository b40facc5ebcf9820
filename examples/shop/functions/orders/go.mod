module github.com/weir-gateway/weir/examples/shop/functions/orders

go 1.26.0

require github.com/aws/aws-lambda-go v1.55.1
