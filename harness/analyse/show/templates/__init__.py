"""Templates of what people read, filled strictly: a name that is missing is an error, never an empty word."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.analyse.show.words import interval, number, span, times
from harness.record.words import several

HERE = Path(__file__).parent


def environment(*folders: Path) -> Environment:
    """Return an environment that finds templates in `folders`, then in this one; HTML is escaped."""
    made = Environment(
        loader=FileSystemLoader([*folders, HERE]),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(
        number=number,
        interval=interval,
        several=several,
        span=span,
        times=lambda factor, bound=False: f"{'at least ' if bound else ''}{times(factor)}",
    )
    return made


def render(name: str, **values: Any) -> str:
    """Return the template `name` filled with `values`."""
    return environment().get_template(name).render(values)
