"""Says so when it is asked to end."""

import signal
import sys


def on_term(number, frame):
    print("asked to end", flush=True)
    sys.exit(0)


signal.signal(signal.SIGTERM, on_term)


def lambda_handler(event, context):
    return "alive"
