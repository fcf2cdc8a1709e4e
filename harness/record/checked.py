"""What comes in from outside and is checked before anything trusts it: names that become paths, dates, seeds."""

import re
from datetime import UTC, date, datetime

from harness.record.errors import BadInput

SEED_LIMIT = 2**64
"""PyTorch's generators take a seed below this."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def path_name(value: object, what: str) -> str:
    """Return `value` as a name that may become a folder: letters of any script, digits, `_`, `-`, `.`.

    One slash inside, as in timm/resnet18, becomes `_`: it is part of the name and chooses no folder. what: how the
    message calls it. Raises BadInput for anything else, an empty name and one that begins with a dot.
    """
    parts = value.split("/") if isinstance(value, str) else []
    if not 1 <= len(parts) <= 2 or not all(map(_is_plain, parts)):
        raise BadInput(
            f"{what} is {value!r}: a name has letters, digits, '_', '-' and '.', does not begin with a dot, and has at "
            "most one slash inside"
        )
    return "_".join(parts)


def _is_plain(part: str) -> bool:
    return bool(part) and part[0] != "." and all(c.isalnum() or c in "_-." for c in part)


def published_date(value: object, what: str) -> date:
    """Return a publication date. Raises BadInput for anything but YYYY-MM-DD, a day that is none, and the future."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise BadInput(f"{what} is {value!r}: write YYYY-MM-DD, as 2015-12-10")
    try:
        day = date.fromisoformat(value)
    except ValueError as error:
        raise BadInput(f"{what} is {value!r}: {error}") from error
    if day > datetime.now(UTC).date():
        raise BadInput(f"{what} is {value!r}, in the future: give the day of the first publication")
    return day


def seed_number(value: int, what: str) -> int:
    """Return a seed that PyTorch takes. Raises BadInput for one below 0 or of 2^64 and more."""
    if not 0 <= value < SEED_LIMIT:
        raise BadInput(f"{what} is {value}: a seed is 0 or more and below 2^64")
    return value
