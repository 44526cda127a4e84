"""The picture of a job: the image, and over it what is not a success, and what was found."""

from __future__ import annotations

import io
import itertools
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path as Outline
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from rasterio.features import shapes

from ..imagery.info import ImageInfo
from ..ledger import Outcome
from .backdrop import MAX_SIDE, NO_DATA, Shown, read_small
from .found import FEATURE_COLOUR, Found, drawn_of
from .scale import bar_of, degrees_along, ground_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..imagery import Grid

INCHES = 9.0  # the longer side of the image
DPI = MAX_SIDE / INCHES
LONGEST = 8.0  # a strip that is longer, of its width, is folded
MAX_NUMBERED = 100  # regions
MAX_BORDERED = 1000
MAX_CELLS = 300  # tiles along a side; of more, several are one cell
INK = "#222222"
GROUND_INCHES = 2.9  # the width of scale bar and arrow

# Okabe and Ito's colours, which the colour-blind tell apart; and hatches, for whom that is not
# enough: (name, colour, how much of it covers the image, hatch). A success is the image itself.
LOOKS = {
    Outcome.ERROR: ("error", "#d55e00", 0.40, "////"),
    Outcome.PENDING: ("pending", "#404040", 0.35, "...."),
}
OUTSIDE = ("outside the ROI", "#ffffff", 0.60)
_RANKS = [Outcome.PENDING, Outcome.ERROR]  # the worst of a cell is what is shown


class Part(NamedTuple):
    """A part of the image that is drawn in one piece, in pixels."""

    left: float
    right: float
    top: float
    bottom: float


def draw_map(
    grid: Grid,
    outcomes: Sequence[int],
    *,
    title: Sequence[str],
    features: Iterable[Mapping[str, Any]] = (),
) -> bytes:
    """Draws an image, over it the tiles that are not a success, and a legend that counts them.

    The image is read at the size at which it is shown, and stretched. A long strip is folded into
    several, of which the next begins where one ends.

    Args:
        grid: How the image was cut.
        outcomes: The outcome of each tile, in the order of their numbers.
        title: Goes above the picture; the first line is the largest.
        features: GeoJSON Features to outline, with coordinates as `results.geojson` has them.

    Returns:
        A PNG.

    Raises:
        InvalidImage: The image cannot be read.
    """
    info = grid.info
    parts, across = _parts(info)
    backdrop = read_small(info, int(MAX_SIDE * max(1, len(parts) / 2)))
    found = drawn_of(grid, features)
    areas = _areas(grid, np.frombuffer(bytes(outcomes), np.uint8))
    handles = _legend(outcomes, found.features)
    if backdrop is not None and backdrop.has_empty:
        handles.append(Patch(facecolor=str(NO_DATA), edgecolor="#999999", label="no data"))
    if None in areas:
        handles.append(Patch(facecolor="white", edgecolor="#999999", label=OUTSIDE[0]))
    if backdrop is None:
        title = [*title, "(the image itself is not shown: it is large, and has no overviews)"]
    sheet = _Sheet.of(info, parts, across, title, handles)
    for part, axes in zip(parts, sheet.panels, strict=True):
        axes.set_facecolor("#dddddd")
        if backdrop is not None:
            axes.add_artist(Shown(backdrop.pixels, info))
        axes.set_aspect("equal")
        _draw_areas(axes, areas)
        _draw_regions(axes, grid, part)
        _draw_found(axes, found)
        _frame(axes, info, part, is_only=len(parts) == 1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name may have any characters
        return sheet.to_png(info)


# --- the sheet ---


def _parts(info: ImageInfo) -> tuple[list[Part], bool]:
    """Returns the pieces of the image, and whether it is cut along its columns."""
    width, height = info.width, info.height
    across = width > height
    longer, shorter = max(width, height), min(width, height)
    aspect = longer / shorter
    count = 1 if aspect <= LONGEST else max(2, min(12, math.ceil(math.sqrt(aspect / 1.3))))
    edges = np.linspace(0, longer, count + 1).tolist()
    return [
        Part(start, stop, 0, height) if across else Part(0, width, start, stop)
        for start, stop in itertools.pairwise(edges)
    ], across


class _Sheet(NamedTuple):
    """A figure: a title, the image in one panel or several, and a legend below it."""

    figure: Figure
    panels: list[Axes]

    @classmethod
    def of(
        cls,
        info: ImageInfo,
        parts: Sequence[Part],
        across: bool,
        title: Sequence[str],
        handles: list[Any],
    ) -> _Sheet:
        first = parts[0]
        width, height = first.right - first.left, first.bottom - first.top
        scale = INCHES / max(width, height)
        rows, columns = (len(parts), 1) if across else (1, len(parts))
        inches = max(8.0, columns * (width * scale + 0.75) + 0.3)
        in_line = max(1, int((inches - GROUND_INCHES) / 2.1))  # entries of the legend
        above = 0.36 + 0.2 * (len(title) - 1)
        below = max(0.55, 0.15 + 0.25 * math.ceil(len(handles) / in_line))
        tall = max(1.6, rows * (height * scale + 0.5)) + above + below
        figure = Figure(figsize=(inches, tall), dpi=DPI)
        FigureCanvasAgg(figure)  # not pyplot, whose figures are the whole process's
        room = (0, below / tall, 1, 1 - (above + below) / tall)
        figure.set_layout_engine("constrained", rect=room)
        name, *others = (_short(line, int(inches * 12)) for line in title)
        plain: dict[str, Any] = {"ha": "left", "va": "top", "color": INK, "parse_math": False}
        figure.text(0.01, 1, name, fontsize=13, fontweight="bold", **plain)
        text = "\n".join(others)
        figure.text(0.01, 1 - 0.28 / tall, text, fontsize=9.5, linespacing=1.4, **plain)
        if handles:
            figure.legend(
                handles=handles,
                loc="lower left",
                bbox_to_anchor=(0.0, 0.0),
                borderaxespad=0.08 * inches,  # of 9 points: where the title begins
                ncols=in_line,
                frameon=False,
                fontsize=9,
                handlelength=2.2,
                handleheight=1.2,
            )
        return cls(figure, list(np.ravel(figure.subplots(rows, columns, squeeze=False))))

    def to_png(self, info: ImageInfo) -> bytes:
        """Returns the sheet, cut to what is on it, with a scale bar and an arrow to the north."""
        layout = self.figure.get_layout_engine()
        assert layout is not None
        for _ in range(3):  # until it has come to rest
            layout.execute(self.figure)
        self.figure.set_layout_engine(None)  # it would draw all to be laid out
        shown = self.figure.get_tightbbox().padded(0.15)
        shown = Bbox(np.round(shown.get_points() * DPI) / DPI)  # lines stay on whole pixels
        self._show_ground(info)
        png = io.BytesIO()
        fast = {"compress_level": 1}  # a sixth larger, in half the time
        self.figure.savefig(png, format="png", bbox_inches=shown, pil_kwargs=fast)
        return png.getvalue()

    def _show_ground(self, info: ImageInfo) -> None:
        ground = ground_of(info)
        if ground is None:
            return
        left, right = self.panels[0].get_xlim()
        inch = (right - left) / self.panels[0].get_window_extent().width * DPI  # in pixels
        length, name = bar_of(ground.metres, 1.7 * inch)
        width, height = self.figure.get_size_inches()
        place = 1 - GROUND_INCHES / width, 0.03 / height, GROUND_INCHES / width, 0.5 / height
        strip = self.figure.add_axes(place)
        strip.set_in_layout(False)
        strip.set_axis_off()
        strip.set_xlim(0, GROUND_INCHES)
        strip.set_ylim(0, 0.5)
        end = GROUND_INCHES - 0.75
        bar = [end - length / inch, end]
        strip.plot(bar, [0.12, 0.12], color=INK, linewidth=2.5, solid_capstyle="butt")
        strip.text(sum(bar) / 2, 0.2, name, ha="center", fontsize=9, color=INK)
        x, y = GROUND_INCHES - 0.38, 0.25
        to_right, up = (0.2 * part for part in ground.north)
        arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
        head, foot = (x + to_right, y + up), (x - to_right, y - up)
        strip.annotate("", head, foot, arrowprops=arrow)
        strip.text(x + 0.12, y, "N", fontsize=9, color=INK, va="center", ha="left")


def _short(line: str, width: int) -> str:
    line = " ".join(line.split())
    half = width // 2 - 1
    return line if len(line) <= width else f"{line[:half]}…{line[-half:]}"


def _frame(axes: Axes, info: ImageInfo, part: Part, *, is_only: bool) -> None:
    """Sets what the axes show, with degrees along left and bottom, and pixels opposite."""
    axes.set_xlim(part.left, part.right)
    axes.set_ylim(part.bottom, part.top)
    axes.tick_params(labelsize=8, colors=INK, length=3)
    for spine in axes.spines.values():
        spine.set_linewidth(0.6)
    width, height = part.right - part.left, part.bottom - part.top
    inch = max(width, height) / INCHES
    most = [max(1, min(6, int(side / inch / room))) for side, room in ((width, 0.9), (height, 0.5))]
    east = degrees_along(info, part.left, part.right, part.bottom, 0, most[0])
    north = degrees_along(info, part.top, part.bottom, part.left, 1, most[1])
    if east.places or north.places:
        axes.set_xticks(east.places, east.labels)
        axes.set_yticks(north.places, north.labels)
        if not is_only:
            return
        columns, rows = axes.secondary_xaxis("top"), axes.secondary_yaxis("right")
        for beside in (columns, rows):
            beside.tick_params("both", labelsize=6.5, colors="#777777", length=2, pad=1)
        columns.set_xlabel("column", fontsize=6.5, color="#777777", labelpad=1)
        rows.set_ylabel("row", fontsize=6.5, color="#777777", labelpad=1)
        return
    axes.xaxis.set_major_locator(MaxNLocator(most[0], integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(most[1], integer=True))
    axes.set_xlabel("column (pixels)", fontsize=8)
    axes.set_ylabel("row (pixels)", fontsize=8)


# --- what lies over the image ---


def _areas(grid: Grid, outcomes: NDArray[np.uint8]) -> dict[Outcome | None, Outline]:
    """Returns the area of tiles of each outcome that is no success; None: of no tile.

    Tiles are drawn as their cores, which don't overlap. Of very many, neighbours are one cell,
    that is as its worst.
    """
    rows, columns = grid.places()
    ranks = np.zeros(256, np.uint8)
    ranks[list(_RANKS)] = np.arange(2, 2 + len(_RANKS))
    cells = np.zeros((grid.rows, grid.columns), np.uint8)
    cells[rows, columns] = np.maximum(1, ranks[outcomes])
    step = math.ceil(max(cells.shape) / MAX_CELLS)
    tops, lefts = np.arange(0, grid.rows, step), np.arange(0, grid.columns, step)
    cells = np.maximum.reduceat(np.maximum.reduceat(cells, tops, axis=0), lefts, axis=1)
    y = np.array([*(grid.down.core(int(row))[0] for row in tops), grid.info.height])
    x = np.array([*(grid.across.core(int(column))[0] for column in lefts), grid.info.width])
    names = {0: None, **dict(enumerate(_RANKS, 2))}
    rings: dict[Outcome | None, list[Any]] = {}
    for area, rank in shapes(cells, mask=cells != 1, connectivity=4):
        rings.setdefault(names[int(rank)], []).extend(area["coordinates"])
    return {name: _outline(closed, x, y) for name, closed in rings.items()}


def _outline(rings: Sequence[Any], x: NDArray[Any], y: NDArray[Any]) -> Outline:
    """Returns closed rings as one path; `x` and `y` are where columns and rows of cells begin."""
    corners = np.array([corner for ring in rings for corner in ring], int)
    stops = np.cumsum([len(ring) for ring in rings])
    codes = np.full(len(corners), Outline.LINETO, Outline.code_type)
    codes[[0, *stops[:-1]]] = Outline.MOVETO
    codes[stops - 1] = Outline.CLOSEPOLY
    return Outline(np.column_stack((x[corners[:, 0]], y[corners[:, 1]])), codes)


def _draw_areas(axes: Axes, areas: Mapping[Outcome | None, Outline]) -> None:
    for outcome, path in areas.items():
        if outcome is None:
            _, colour, cover = OUTSIDE
            axes.add_artist(PathPatch(path, facecolor=colour, alpha=cover, linewidth=0, zorder=1))
            continue
        _, colour, cover, hatch = LOOKS[outcome]
        axes.add_artist(PathPatch(path, facecolor=colour, alpha=cover, linewidth=0, zorder=1))
        lines = PathPatch(path, facecolor="none", edgecolor=colour, hatch=hatch, zorder=2)
        lines.set_linewidth(0)
        axes.add_artist(lines)
        for ink, width in (("white", 2.6), (colour, 1.2)):
            border = PathPatch(path, facecolor="none", edgecolor=ink, linewidth=width, zorder=2)
            axes.add_artist(border)


def _draw_regions(axes: Axes, grid: Grid, part: Part) -> None:
    """Draws the borders of regions, and their numbers, as far as they can be told apart."""
    if not 1 < grid.region_count <= MAX_BORDERED:
        return
    rows, columns = grid.places()
    starts = np.concatenate([[0], np.cumsum(grid.tiles_per_region)[:-1]])
    corners = [
        (grid.across.core(int(left))[0], grid.down.core(int(top))[0],
         grid.across.core(int(right))[1], grid.down.core(int(bottom))[1])
        for left, top, right, bottom in zip(
            np.minimum.reduceat(columns, starts), np.minimum.reduceat(rows, starts),
            np.maximum.reduceat(columns, starts), np.maximum.reduceat(rows, starts), strict=True)
    ]  # fmt: skip
    lines = [[(x, y), (right, y), (right, bottom), (x, bottom), (x, y)]
             for x, y, right, bottom in corners]  # fmt: skip
    thin = 0.8 if len(corners) <= MAX_NUMBERED else 0.3
    for colour, width in (("black", 1.8 * thin), ("white", thin)):
        axes.add_collection(
            LineCollection(lines, colors=colour, linewidths=width, alpha=0.55, zorder=3)
        )
    if len(corners) > MAX_NUMBERED:
        return
    for number, (x, y, _, bottom) in enumerate(corners):
        if part.left <= x < part.right and y < part.bottom and bottom > part.top:
            axes.annotate(
                str(number),
                (x, max(y, part.top)),
                (3, -3),
                textcoords="offset points",
                va="top",
                fontsize=7.5,
                color="white",
                path_effects=[withStroke(linewidth=1.8, foreground="black")],
                zorder=4,
                annotation_clip=True,
            )


def _draw_found(axes: Axes, found: Found) -> None:
    for colour, width in (("black", 1.6), (FEATURE_COLOUR, 0.8)):
        axes.add_collection(
            LineCollection(list(found.lines), colors=colour, linewidths=width, zorder=2.5)
        )
    axes.plot(*found.points.T, ".", color=FEATURE_COLOUR, markersize=3, zorder=2.5)


def _legend(outcomes: Sequence[int], features: int) -> list[Any]:
    """Returns the entries of what is there; a success is the image itself."""
    tiles = np.bincount(np.frombuffer(bytes(outcomes), np.uint8), minlength=256)
    of = f"of {len(outcomes):,} tile{'s' if len(outcomes) != 1 else ''}"
    handles: list[Any] = [
        Patch(
            facecolor=(colour, 0.5),
            edgecolor=colour,
            hatch=hatch,
            label=f"{name}: {tiles[outcome]:,} {of}",
        )
        for outcome, (name, colour, _, hatch) in LOOKS.items()
        if tiles[outcome]
    ]
    if features:
        label = f"{features:,} feature{'s' if features != 1 else ''}"
        line = Line2D([], [], color=FEATURE_COLOUR, linewidth=1.5, label=label)
        line.set_path_effects([withStroke(linewidth=3, foreground="black")])
        handles.append(line)
    return handles
