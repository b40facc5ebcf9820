"""Registers what is to be called before and after a snapshot."""

import os

from snapshot_restore_py import register_after_restore, register_before_snapshot

called = []


@register_before_snapshot
def first():
    called.append("before: first")


register_before_snapshot(lambda text: called.append("before: " + text), "second")


@register_after_restore
def third():
    if os.environ.get("FAILS"):
        raise OSError("the connection cannot be made anew")
    called.append("after: third")


register_after_restore(called.append, "after: fourth")


def lambda_handler(event, context):
    return called
