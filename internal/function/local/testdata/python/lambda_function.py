"""Handlers for tests."""

import datetime
import decimal
import logging
import os
import sys


def lambda_handler(event, context):
    path = event["rawPath"]
    if path == "/throw":
        raise KeyError("no such tea")
    if path == "/exit":
        sys.exit(3)
    if path == "/unmarshal":
        return datetime.datetime.now()
    if path == "/decimal":
        return {"price": decimal.Decimal("4.2"), "name": "Grüner Tee"}
    if path == "/log":
        sys.stdout.write("no newline, ")
        print("one")
        logging.getLogger().warning("two")
        logging.getLogger().info("below the level")
        return {}
    if path == "/half":
        sys.stdout.write("half a line")
        return {}
    if path == "/pid":
        return {"pid": os.getpid(), "left": sorted(os.listdir(os.path.dirname(__file__)))}
    if path == "/context":
        return {
            "functionName": context.function_name, "functionVersion": context.function_version,
            "memoryLimitInMB": context.memory_limit_in_mb, "awsRequestId": context.aws_request_id,
            "invokedFunctionArn": context.invoked_function_arn, "logGroupName": context.log_group_name,
            "left": context.get_remaining_time_in_millis(), "trace": os.environ["_X_AMZN_TRACE_ID"],
            "env": os.environ["AWS_EXECUTION_ENV"],
        }
    return {"statusCode": 200, "body": event.get("body", "")}


text = "no function"
