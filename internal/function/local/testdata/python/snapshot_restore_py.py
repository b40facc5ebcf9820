"""What tests need of AWS's package of this name, by its documentation."""

_before, _after = [], []


def register_before_snapshot(function, *positional, **named):
    _before.append((function, positional, named))
    return function


def register_after_restore(function, *positional, **named):
    _after.append((function, positional, named))
    return function


def get_before_snapshot():
    return _before


def get_after_restore():
    return _after
