"""What all figures share: the look, hover texts, and files that are byte-identical when drawn again."""

import html
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from harness.record.files import write_atomic

INK, SOFT, LINE, PAPER = "#1c2126", "#565e67", "#d9dcd6", "#ffffff"
BLUE, VERMILION, OCHRE, GREEN = "#0072b2", "#c8501e", "#8f6a00", "#00795a"
"""After Okabe and Ito, darkened until each has a contrast of 4.5 on white. Shape, dash or a label says the same."""

COLOURS = {"ink": INK, "soft": SOFT, "line": LINE, "blue": BLUE, "red": VERMILION, "ochre": OCHRE, "green": GREEN}
"""By the name that the page's style has for each: it gives them other values in the dark."""

FONTS = ["DejaVu Sans", "Verdana", "sans-serif"]
"""matplotlib's own font, which sets the layout, and its nearest relative for readers who lack it."""

WIDE, NARROW = 8.2, 4.3
"""Widths in inches: for a paper or a desk, and for a telephone."""

DPI = 150
"""Of the PNG, and of the layout: text is measured as it will be drawn."""

_STYLE: Any = {
    "svg.hashsalt": "harness",  # ids from content, not from chance
    "svg.fonttype": "none",  # text that can be selected, searched and read aloud
    "font.family": FONTS[:1],
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


@dataclass
class Picture:
    """A figure, its caption, and what hovering over each of its marks tells."""

    figure: Any
    caption: str = ""
    hints: list[str] = field(default_factory=list)

    def hint(self, artist: Any, words: str) -> None:
        """Let `artist` tell `words` to who hovers over it."""
        artist.set_gid(f"hint-{len(self.hints)}")
        self.hints.append(words)

    def svg(self) -> str:
        """Return the figure as SVG; the same data gives the same bytes."""
        with matplotlib.rc_context(_STYLE):
            text = self._saved("svg", {"Date": None, "Creator": None}).decode()
        text = _shortened(text, decimals=2)
        text = re.sub(
            r"(<svg [^>]*>)", lambda tag: f"{tag[0]}\n<desc>{html.escape(self.caption)}</desc>", text, count=1
        )
        families = ", ".join(f"'{name}'" if " " in name else name for name in FONTS)
        text = text.replace(f"'{FONTS[0]}'", families)
        for number, words in enumerate(self.hints):
            opening = f'<g id="hint-{number}">'
            text = text.replace(opening, f"{opening}\n<title>{html.escape(words)}</title>", 1)
        return text

    def png(self) -> bytes:
        """Return the figure as PNG; the same data gives the same bytes."""
        with matplotlib.rc_context(_STYLE):
            return self._saved("png", {"Software": None})

    def _saved(self, suffix: str, metadata: dict[str, Any]) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format=suffix, dpi=DPI, metadata=metadata, facecolor=PAPER)
        return buffer.getvalue()

    def inline(self, prefix: str) -> str:
        """Return the SVG for a page: no background, ids of its own, the page's colours."""
        svg = self.svg()
        svg = re.sub(r"(?s)^.*?(?=<svg )", "", svg)
        svg = re.sub(r"(?s)<metadata>.*?</metadata>|<desc>.*?</desc>", "", svg)  # the page writes the caption itself
        svg = re.sub(
            r'(<svg [^>]*?)width="[^"]*" height="[^"]*"|(<svg [^>]*?)height="[^"]*" width="[^"]*"', r"\1\2", svg
        )
        svg = _shortened(svg, decimals=1)
        svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # nothing refers to a group
        svg = re.sub(r"; stroke-(?:linecap: square|linejoin: miter)", "", svg)
        svg = re.sub(r" *\n([A-Z]) ", r"\1", svg)
        svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
        svg = svg.replace(f"fill: {PAPER}", "fill: none")
        for name, colour in COLOURS.items():
            svg = svg.replace(colour, f"var(--{name})")
        return re.sub(r"(?m)^ +|\n(?=\n)", "", svg)


def _shortened(svg: str, *, decimals: int) -> str:
    """The places of lines and marks with fewer digits (a point has 1/72 inch); no text is touched."""

    def shorter(attribute: re.Match[str]) -> str:
        return re.sub(rf"(\.\d{{{decimals}}})\d+", r"\1", attribute[0])

    return re.sub(r'\b(?:d|x|y|width|height|transform)="[^"]*"', shorter, svg)


def new(width: float, height: float) -> Figure:
    """Return an empty figure in the project's look; nothing global changes."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
    return figure


def style() -> Any:
    """Return the context in which axes must be made and written on."""
    return matplotlib.rc_context(_STYLE)


def save(picture: Picture, folder: Path, name: str) -> list[Path]:
    """Write NAME.svg and NAME.png; return their paths. A PNG that looks the same already stays as it is."""
    paths = [folder / f"{name}.svg", folder / f"{name}.png"]
    write_atomic(paths[0], picture.svg())
    drawn = picture.png()
    if not _alike(paths[1], drawn):
        write_atomic(paths[1], drawn)
    return paths


def _alike(png: Path, drawn: bytes) -> bool:
    """Whether the file shows what was drawn, but for one level of 255: processors round a line's place differently."""
    try:
        with Image.open(png) as there, Image.open(io.BytesIO(drawn)) as new:
            if (there.size, there.mode) != (new.size, new.mode):
                return False
            return int(np.abs(np.asarray(there, np.int16) - np.asarray(new, np.int16)).max()) <= 1
    except (OSError, SyntaxError, ValueError):  # none there, or broken: Pillow says either
        return False


def year(month: Any) -> Any:
    """Return the decimal year of months since 2012; a number or an array of them."""
    return 2012 + month / 12
