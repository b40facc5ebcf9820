"""Connects AWS Lambda's Runtime API to a handler written in Python.

It imports the handler that _HANDLER names. Then it runs a loop: it asks for an
event, calls the handler, and posts the result.

  https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
  https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html

One process answers one event at a time, as on AWS. Events at the same time go
to other processes. It uses only Python's own library, and little of it, because
each import adds to the cold start.
"""

import importlib
import json
import logging
import os
import socket
import sys
import time
import traceback

BASE = "/2018-06-01/runtime"


class RuntimeAPI:
    """Speaks as much of HTTP/1.1 as is needed, on one connection that stays open."""

    def __init__(self, address):
        self.address = address
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb")

    def call(self, method, path, body=b"", fields=()):
        """Returns the header fields of the response, by their names in lower case, and its body."""
        head = ["%s %s%s HTTP/1.1" % (method, BASE, path), "Host: " + self.address]
        head += ["%s: %s" % field for field in fields]
        if method == "POST":
            head += ["Content-Type: application/json", "Content-Length: %d" % len(body)]
        self.socket.sendall("\r\n".join(head + ["", ""]).encode("latin-1", "replace") + body)
        if not self.reader.readline():
            raise ConnectionError("the Runtime API has ended")
        headers = {}
        while True:
            line = self.reader.readline().strip().decode("latin-1")
            if not line:
                break
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return headers, self.reader.read(int(headers.get("content-length", 0)))


class CognitoIdentity:
    def __init__(self, known):
        self.cognito_identity_id = known.get("cognitoIdentityId")
        self.cognito_identity_pool_id = known.get("cognitoIdentityPoolId")


class Client:
    def __init__(self, known):
        for name in ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name"):
            setattr(self, name, known.get(name))


class ClientContext:
    def __init__(self, known):
        self.custom = known.get("custom")
        self.env = known.get("env")
        self.client = Client(known["client"]) if known.get("client") else None


class LambdaContext:
    """The context object of https://docs.aws.amazon.com/lambda/latest/dg/python-context.html"""

    def __init__(self, headers):
        def parsed(name):
            text = headers.get("lambda-runtime-" + name)
            return json.loads(text) if text else {}

        self.aws_request_id = headers.get("lambda-runtime-aws-request-id")
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.identity = CognitoIdentity(parsed("cognito-identity"))
        client = parsed("client-context")
        self.client_context = ClientContext(client) if client else None
        self._deadline_ms = int(headers.get("lambda-runtime-deadline-ms") or 0)

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline_ms - int(time.time() * 1000))

    def log(self, message):
        sys.stdout.write(str(message))


class Failure(Exception):
    """An error that AWS has a name for."""

    def __init__(self, kind, message, trace=()):
        super().__init__(message)
        self.kind, self.trace = kind, list(trace)


current_id = None  # the request id of the event that is being answered


class Lines(logging.Handler):
    """Writes the records of the module logging as lines in AWS's form, with the request id."""

    def emit(self, record):
        record.aws_request_id = current_id or ""
        try:
            sys.stdout.write(self.format(record) + "\n")
        except Exception:
            self.handleError(record)


class JSONLines(logging.Formatter):
    def format(self, record):
        line = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname, "message": record.getMessage(),
            "logger": record.name, "requestId": record.aws_request_id,
        }
        if record.exc_info:
            line["stackTrace"] = traceback.format_exception(*record.exc_info)
        return json.dumps(line, default=str)


def set_up_logging():
    handler = Lines()
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON":
        handler.setFormatter(JSONLines())
    else:
        form = logging.Formatter("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s", "%Y-%m-%dT%H:%M:%S")
        form.converter = time.gmtime
        handler.setFormatter(form)
    root = logging.getLogger()
    root.addHandler(handler)
    if os.environ.get("AWS_LAMBDA_LOG_LEVEL"):
        root.setLevel(os.environ["AWS_LAMBDA_LOG_LEVEL"].upper())


def error_body(error):
    """Returns an exception in AWS's form, without the frames of this file."""
    if isinstance(error, Failure):
        body = {"errorMessage": str(error), "errorType": error.kind, "stackTrace": error.trace}
    else:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
        body = {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": traceback.format_list(frames)}
    if current_id:
        body["requestId"] = current_id
    return body


def post_error(api, path, error):
    body = error_body(error)
    trace = "".join(body["stackTrace"]).rstrip().replace("\n", "\r")
    print("[ERROR] %s: %s%s" % (body["errorType"], body["errorMessage"].replace("\n", "\r"), "\rTraceback (most recent call last):\r" + trace if trace else ""))
    kind = "".join(c if "!" <= c <= "~" else "?" for c in body["errorType"])
    fields = [("Lambda-Runtime-Function-Error-Type", kind)]
    api.call("POST", path, json.dumps(body).encode(), fields)


def load(name):
    module, _, function = name.rpartition(".")
    if not module or not function:
        raise Failure("Runtime.MalformedHandlerName", "Bad handler '%s': it is a module and a function of it, as lambda_function.lambda_handler" % name)
    try:
        loaded = importlib.import_module(module.replace("/", "."))
    except ImportError as error:
        raise Failure("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module, error), error_body(error)["stackTrace"])
    except SyntaxError as error:
        line = ['  File "%s" Line %s\n    %s\n' % (error.filename, error.lineno, (error.text or "").rstrip())]
        raise Failure("Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module, error), line)
    handler = getattr(loaded, function, None)
    if handler is None:
        raise Failure("Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (function, module))
    if not callable(handler):
        raise Failure("Runtime.HandlerNotFound", "Handler '%s' of module '%s' is not a function" % (function, module))
    return handler


def plain(value):
    """Converts values that json does not support: decimals, which DynamoDB's client returns."""
    if type(value).__name__ == "Decimal":
        return float(value)
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


def answer(handler, headers, body):
    try:
        event = json.loads(body)
        context = LambdaContext(headers)
    except ValueError as error:
        raise Failure("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % error)
    result = handler(event, context)
    try:
        return json.dumps(result, default=plain, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise Failure("Runtime.MarshalError", "Unable to marshal response: %s" % error)


def restore(api):
    """Calls the hooks registered with AWS's snapshot_restore_py, as if before and after a snapshot. None is taken."""
    hooks = sys.modules.get("snapshot_restore_py")  # loaded only if the function has imported it
    try:
        for function, positional, named in reversed(list(hooks.get_before_snapshot()) if hooks else []):
            function(*positional, **named)
    except Exception as error:
        post_error(api, "/init/error", error)
        sys.exit(1)
    api.call("GET", "/restore/next")
    try:
        for function, positional, named in list(hooks.get_after_restore()) if hooks else []:
            function(*positional, **named)
    except Exception as error:
        post_error(api, "/restore/error", error)
        sys.exit(1)


def go_round(api, handler):
    global current_id
    headers, body = api.call("GET", "/invocation/next")
    current_id = headers["lambda-runtime-aws-request-id"]
    os.environ["_X_AMZN_TRACE_ID"] = headers.get("lambda-runtime-trace-id", "")
    where = "/invocation/" + current_id
    try:
        result = answer(handler, headers, body)
    except Exception as error:
        post_error(api, where + "/error", error)
    else:
        sys.stdout.flush()
        api.call("POST", where + "/response", result)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        current_id = None


def main():
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    sys.path[0] = os.environ["LAMBDA_TASK_ROOT"]  # replaces this file's folder
    api = RuntimeAPI(os.environ["AWS_LAMBDA_RUNTIME_API"])
    set_up_logging()
    try:
        handler = load(os.environ["_HANDLER"])
    except Exception as error:
        post_error(api, "/init/error", error)
        sys.exit(1)
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        restore(api)
    while True:
        go_round(api, handler)


if __name__ == "__main__":
    try:
        main()
    except ConnectionError:
        sys.exit(1)  # the Runtime API has ended, so this instance ends
