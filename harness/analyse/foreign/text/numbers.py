"""Numbers as people write them: decimal commas, thousands in groups of three, a percent sign."""

import math
import re
from collections.abc import Iterable

from harness.record.errors import BadInput

_NUMERIC = re.compile(r"[+-]?\d[\d.,]*(?:[eE][+-]?\d+)?")
_GROUPED = {mark: re.compile(rf"[+-]?\d{{1,3}}(?:\{mark}\d{{3}})+") for mark in ".,"}
_OTHER = {".": ",", ",": "."}


def bare(text: str) -> str:
    """The text without a percent sign, spaces (also those that group digits), underscores and apostrophes."""
    return re.sub(r"[\s_'’]", "", text.strip().removesuffix("%"))


def decimal_mark(cells: Iterable[tuple[str, str]], delimiter: str) -> str:
    """Return "." or ",", whichever the numbers of a file are written with.

    cells: (where, text) of every cell; delimiter: of the file, since an unquoted comma cannot be both. Raises BadInput
    where "1,281" may be 1281 as well as 1.281 and nothing else in the file tells.
    """
    doubtful = ""
    dots = False
    for where, raw in cells:
        text = bare(raw)
        if not _NUMERIC.fullmatch(text):
            continue
        if "," in text and "." in text:
            return max(".,", key=text.rfind)
        dots = dots or ("." in text and text.count(".") == 1)
        if "," not in text:
            continue
        if not _GROUPED[","].fullmatch(text):
            return ","
        if text.count(",") > 1:
            return "."
        doubtful = doubtful or f"{where}: is {raw!r} {text.replace(',', '')} or {text.replace(',', '.')}"
    if doubtful and not dots and delimiter != ",":
        raise BadInput(f"{doubtful}? Write it without the comma")
    return "."


def number(text: str, mark: str, what: str) -> float:
    """Return a number of 0 or more, written with `mark` before its decimals. Raises BadInput, naming `what`."""
    digits = bare(text)
    other = _OTHER[mark]
    if other in digits:
        whole, dot, decimals = digits.partition(mark)
        if not _GROUPED[other].fullmatch(whole) or other in decimals:
            raise BadInput(f"{what} is {text!r}, not a number")
        digits = whole.replace(other, "") + dot + decimals
    elif digits.count(mark) > 1 and _GROUPED[mark].fullmatch(digits):
        digits = digits.replace(mark, "")  # 1.281.167 in a file whose decimals nobody has seen
    try:
        value = float(digits.replace(mark, "."))
    except ValueError as error:
        raise BadInput(f"{what} is {text!r}, not a number") from error
    if not math.isfinite(value) or value < 0:
        raise BadInput(f"{what} is {text}")
    return value
