"""Takes more and more memory, until it is ended."""

import time


def lambda_handler(event, context):
    eaten = []
    while len(eaten) < 256:
        eaten.append(bytearray(b"x" * (1 << 20)))
        time.sleep(0.002)
    return "nobody ended it"
