"""One shape for all names, so that none can break a header, a path, a key or a file name."""

import re

from gateway.errors import InvalidValue

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")


def check_name(value: str, what: str) -> str:
    """Return `value` if it is a name; otherwise raise `InvalidValue` that says what is allowed."""
    if not NAME.match(value):
        raise InvalidValue(
            f"{what} {value!r} is not a name: use 1 to 64 of a-z, 0-9, '.', '_' and '-', "
            "starting with a letter or digit",
            param=what,
        )
    return value
