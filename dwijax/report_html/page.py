"""One page to look at: warnings, slices, tables, figures and where it all comes from.

The page is one file that asks the network for nothing (its content security policy forbids it) and
stays below 10 MB: slices are 8-bit JPEG, as many of them as fit; large figures have 256 colours.
"""

import base64
import hashlib
import html
import io
import json
import os
import re
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dwijax import __version__
from dwijax.errors import warnings_given
from dwijax.output import whole
from dwijax.volumes import filled_slices

LARGEST = 10 * 2**20  # bytes
COLOUR = "colour FA: red left–right, green front–back, blue up–down"
_MOST_PIXELS = 6_000_000  # of all slices; JPEG makes about a third to three quarters of a byte each
_LARGE_FIGURE = 250_000  # bytes
# Letters of the left and right edge of slices across the axes of a LAS volume.
_SIDES = ("P", "A"), ("R", "L"), ("R", "L")
_AXES = {"left–right": (1, 0, 0), "front–back": (0, 1, 0), "up–down": (0, 0, 1)}


class Layer(NamedTuple):
    """Slices of one quantity.

    Attributes:
      name: of the quantity, as "measured".
      pixels: uint8 ``[S, H, W]`` or, in colours, ``[S, H, W, 3]``.
      colors: ``gray``, ``signed`` (blue, white, red) or ``rgb``.
      low, high: values at the ends of the colours. label: what they are, with the unit.
      kind, choice: where there are several of a name: what they differ in, as "direction", and
        which this is, as "no. 31".
    """

    name: str
    pixels: np.ndarray
    colors: str
    low: float
    high: float
    label: str
    kind: str = ""
    choice: str = ""


class Viewer(NamedTuple):
    """Layers of one scan: equal ``S, H, W``; ``slices`` their numbers in the scan."""

    title: str
    layers: list
    slices: list
    ratio: float
    sides: tuple


class Slices:
    """How a LAS volume is cut for a `Viewer`: the subject's right on the left, anterior up.

    Args:
      mask: bool ``[X, Y, Z]``; what is shown is its bounding box.
      voxel_size: mm. axis: of the slices.
    """

    def __init__(self, mask: np.ndarray, voxel_size: np.ndarray, axis: int):
        self._axis, self._mask, self._box = axis, mask, []
        for i, length in enumerate(mask.shape):
            filled, margin = np.flatnonzero(filled_slices(mask, i)), int(i != axis)
            self._box.append(slice(max(int(filled[0]) - margin, 0),
                                   min(int(filled[-1]) + 1 + margin, length)))
        self.numbers = list(range(self._box[axis].start, self._box[axis].stop))
        across, up = np.delete(np.asarray(voxel_size, float), axis)
        width, height = np.delete([s.stop - s.start for s in self._box], axis)
        self.ratio = float(height * up / (width * across))
        self.sides = _SIDES[axis]

    def cut(self, volume):
        """``[X, Y, Z, ...]`` to ``[S, H, W, ...]``, 0 outside the mask."""
        inside = self._mask.reshape(*self._mask.shape, *[1] * (volume.ndim - 3))
        part = np.where(inside, volume, 0)[tuple(self._box)]
        return np.moveaxis(part, self._axis, 0).swapaxes(1, 2)[:, ::-1]

    def gray(self, name, volume, low, high, label, kind="", choice=""):
        """`Layer` of values from black to white."""
        return Layer(name, _bytes((self.cut(volume) - low) / (high - low)), "gray", low, high,
                     label, kind, choice)

    def signed(self, name, volume, wide, label, kind="", choice=""):
        """`Layer` of values from ``-wide`` to ``wide``, from blue over white to red."""
        import matplotlib

        colors = _bytes(matplotlib.colormaps["RdBu_r"](np.linspace(0, 1, 256))[:, :3])
        pixels = colors[_bytes((self.cut(volume) + wide) / (2 * wide))]
        pixels[self.cut(self._mask) == 0] = 0
        return Layer(name, pixels, "signed", -wide, wide, label, kind, choice)

    def rgb(self, name, volume, label, kind="", choice=""):
        """`Layer` of colours ``[X, Y, Z, 3]``, 0 to 1."""
        return Layer(name, _bytes(self.cut(volume)), "rgb", 0, 1, label, kind, choice)

    def viewer(self, title: str, layers: list[Layer]) -> Viewer:
        """`Viewer` of such layers."""
        return Viewer(title, layers, self.numbers, self.ratio, self.sides)


def nearest_axes(bvecs: np.ndarray) -> dict[str, int]:
    """Positions of the directions ``[K, 3]``, RAS+, that are nearest to the scanner's axes, by
    name; none twice."""
    near = np.abs(np.asarray(bvecs) @ np.array(list(_AXES.values()), float).T)
    found = {}
    for column, name in enumerate(_AXES):
        if len(found) < len(near):
            found[name] = int(near[:, column].argmax())
            near[found[name]] = -1
    return found


def write(path: Path, title: str, *, warnings: Sequence[str] = (), viewers: Sequence[Viewer] = (),
          text: str = "", figures: Sequence[Path] = (),
          provenance: Sequence[tuple[str, str]] = ()) -> None:
    """Writes the page.

    Args:
      path: ``.html`` file. title: str.
      warnings: lines that have to be read first; those that `dwijax.errors.warn` has said follow.
      viewers: list of `Viewer`.
      text: Markdown: headings, lists, tables and paragraphs.
      figures: PNG files, drawn in this order.
      provenance: list of ``(name, value)``.

    Raises:
      InputError: the file cannot be written.
    """
    body = [_warnings(list(dict.fromkeys([*warnings, *warnings_given()])))]
    pixels = sum(layer.pixels.shape[0] * layer.pixels.shape[1] * layer.pixels.shape[2]
                 for viewer in viewers for layer in viewer.layers)
    every = -(-pixels // _MOST_PIXELS) or 1
    if viewers:
        body += ["<h2>Slices</h2>", *(_viewer(viewer, every) for viewer in viewers)]
    if text:
        body.append(f'<div class="card">{to_html(text)}</div>')
    if figures:
        body += ["<h2>Figures</h2>", *map(_figure, figures)]
    rows = "".join(f"<tr><td>{html.escape(str(name))}</td><td><code>{html.escape(str(value))}"
                   "</code></td></tr>" for name, value in provenance)
    body.append(f'<h2>Where it comes from</h2><div class="card scroll"><table class="facts">{rows}'
                "</table></div>")
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    parts = {"title": html.escape(title), "subtitle": f"dwijax {__version__}, {when}",
             "body": "\n".join(body)}
    template = (files("dwijax.report_html") / "page.html").read_text(encoding="utf-8")
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)
    with whole(path) as temporary:
        # Names of files may be any bytes: those that are no text are shown by their numbers.
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def provenance(about: dict, sources: Sequence[Path | None]) -> list[tuple[str, str]]:
    """Rows ``(name, value)`` about this process: command, versions, run, files with checksums.

    Args:
      about: ``config.json`` of the run, as a dict.
      sources: paths of the files that were read; None among them is passed over.
    """
    config = hashlib.sha256(json.dumps(about["config"], sort_keys=True).encode()).hexdigest()
    versions = ", ".join(f"{name} {v}" for name, v in about["versions"].items())
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    rows = [("command", command), ("dwijax", __version__), ("run trained with", versions),
            ("config, sha256", config)]
    for path in sources:
        if path is not None and os.path.isfile(path):
            with open(path, "rb") as file:
                rows.append((path, "sha256 " + hashlib.file_digest(file, "sha256").hexdigest()))
    return rows


def run_file(run: Path) -> Path:
    """What tells of a run: the file it was exported to, or its ``config.json``."""
    return Path(run) if Path(run).is_file() else Path(run) / "config.json"


def to_html(markdown: str) -> str:
    """Markdown's headings, lists, tables and paragraphs, with bold and code, as HTML."""
    out, block = [], []

    def close():
        if block and block[0].startswith("|"):
            head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")]
                              for line in block)
            cells = ["<tr>" + "".join(f"<{tag}>{_inline(c)}</{tag}>" for c in row) + "</tr>"
                     for tag, row in (("th", head), *(("td", row) for row in rows))]
            out.append(f'<div class="scroll"><table>{"".join(cells)}</table></div>')
        elif block and block[0].startswith("- "):
            items = "".join(f"<li>{_inline(line[2:])}</li>" for line in block)
            out.append(f'<ul class="notes">{items}</ul>')
        elif block:
            out.append(f"<p>{_inline(' '.join(block))}</p>")
        block.clear()

    for line in markdown.splitlines():
        heading = re.match(r"(#{1,3}) (.*)", line)
        if heading or not line.strip() or (block and line[:1] in "|-" and line[0] != block[0][0]):
            close()
        if heading:
            level = max(len(heading[1]), 2)
            out.append(f"<h{level}>{_inline(heading[2])}</h{level}>")
        elif line.strip():
            block.append(line)
    close()
    return "\n".join(out)


def _inline(text):
    text = html.escape(text)
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
    return re.sub(r"`(.+?)`", r"<code>\1</code>", text)


def _warnings(lines):
    if not lines:
        return '<div class="card calm"><p>Nothing to warn of.</p></div>'
    items = "".join(f"<li>{_inline(line)}</li>" for line in lines)
    return f'<div class="card warnings"><ul>{items}</ul></div>'


def _viewer(viewer, every):
    """A viewer's data, every n-th slice of it, for the page's script."""
    first = (len(viewer.slices) - 1) % every // 2
    slices = viewer.slices[first::every]
    height, width = viewer.layers[0].pixels.shape[1:3]
    columns = max(1, min(len(slices), 16_000 // width, round(np.sqrt(len(slices)))))
    layers = [{"name": layer.name, "kind": layer.kind, "choice": layer.choice,
               "colors": layer.colors, "low": f"{layer.low:.3g}", "high": f"{layer.high:.3g}",
               "label": layer.label, "source": _sprite(layer.pixels[first::every], columns)}
              for layer in viewer.layers]
    hint = f"Every {every}th slice is here." if every > 1 else ""
    data = {"title": viewer.title, "slices": slices, "start": len(slices) // 2, "width": width,
            "height": height, "columns": columns, "ratio": viewer.ratio, "sides": viewer.sides,
            "hint": hint, "layers": layers}
    text = json.dumps(data).replace("<", "\\u003c")
    return f'<div class="card viewer"><script type="application/json">{text}</script></div>'


def _sprite(pixels, columns):
    """All slices in one JPEG, as a data URI."""
    from PIL import Image

    count, height, width = pixels.shape[:3]
    rows = -(-count // columns)
    sheet = np.zeros((rows * columns, *pixels.shape[1:]), np.uint8)
    sheet[:count] = pixels
    sheet = sheet.reshape(rows, columns, *pixels.shape[1:]).swapaxes(1, 2)
    sheet = sheet.reshape(rows * height, columns * width, *pixels.shape[3:])
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "JPEG", quality=88, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _figure(path):
    from PIL import Image

    content = Path(path).read_bytes()
    if len(content) > _LARGE_FIGURE:
        file = io.BytesIO()
        with Image.open(path) as image:
            image.convert("RGB").quantize(256).save(file, "PNG", optimize=True)
        content = min(content, file.getvalue(), key=len)
    name = html.escape(Path(path).stem.replace("_", " "))
    source = "data:image/png;base64," + base64.b64encode(content).decode()
    return (f'<figure class="card"><img alt="{name}" src="{source}">'
            f"<figcaption>{name}</figcaption></figure>")


def _bytes(shares):
    return np.rint(255 * np.clip(np.nan_to_num(shares), 0, 1)).astype(np.uint8)
