"""A module in a package, which imports from the function's folder."""

import lambda_function


def handler(event, context):
    return lambda_function.text
