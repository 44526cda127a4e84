"""The picture of a job: the image with each region tinted by its outcome."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from shapely.geometry import shape

from ..imagery.info import ImageInfo, from_lonlat
from ..imagery.opening import environment, open_image
from ..ledger import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..imagery import Grid

MAX_SIDE = 1500  # pixels of the image as shown
MAX_SOURCE_PIXELS = 500_000_000  # read for that, of an image without overviews
MAX_NUMBERED = 200  # regions
INCHES = 10.0
DPI = MAX_SIDE / INCHES

# Okabe and Ito's colours, which the colour-blind tell apart; and hatches, for whom that is not
# enough: (name, face, how much of it covers the image, hatch, the hatch's colour).
LOOKS = {
    Outcome.SUCCESS: ("success", "#009e73", 0.30, "", ""),
    Outcome.ERROR: ("error", "#d55e00", 0.45, "///", "#d55e00"),
    Outcome.PENDING: ("pending", "#999999", 0.45, "...", "#ffffff"),
}
FEATURE_COLOUR = "#f0e442"


def draw_map(
    grid: Grid,
    outcomes: Sequence[Outcome],
    *,
    title: str,
    features: Iterable[Mapping[str, Any]] = (),
) -> bytes:
    """Draws an image with each region tinted by outcome, and a legend that counts them.

    The image is read at the size at which it is shown, stretched, and with paler colours than it
    has, so that the tints are seen. One that would have to be read whole for that (over 500
    million pixels, without overviews) is left out.

    Args:
        grid: How the image was cut.
        outcomes: The outcome of each region.
        title: Goes above the picture.
        features: GeoJSON Features to outline, with coordinates as `results.geojson` has them.

    Returns:
        A PNG.

    Raises:
        InvalidImage: The image cannot be read.
    """
    width, height = grid.info.width, grid.info.height
    scale = INCHES / max(width, height)
    figure = Figure(
        figsize=(max(7.0, width * scale + 0.6), max(2.5, height * scale) + 1.2),
        dpi=DPI,
        layout="constrained",
    )
    axes = figure.add_subplot()
    shown = _read_small(grid.info)
    if shown is not None:
        axes.imshow(shown, extent=(0, width, height, 0), interpolation="nearest")
    else:
        axes.set_facecolor("#dddddd")
        axes.annotate(
            "(the image itself is not shown: it is large, and has no overviews)",
            (0.5, 1.0),
            xycoords="axes fraction",
            ha="center",
            va="bottom",
            fontsize=8,
        )
    _tint(axes, grid, outcomes)
    outlined = _outline(axes, grid.info, features)
    axes.set_xlim(-0.004 * width, 1.004 * width)
    axes.set_ylim(1.004 * height, -0.004 * height)
    axes.set_aspect("equal")
    axes.set_xlabel("column (pixels)")
    axes.set_ylabel("row (pixels)")
    axes.set_title(title, fontsize=11, pad=14 if shown is None else 8)
    figure.legend(
        handles=_legend(outcomes, outlined),
        loc="outside lower center",
        ncols=4,
        frameon=False,
        handlelength=2.4,
        handleheight=1.4,
    )
    FigureCanvasAgg(figure)  # not pyplot, whose figures are the whole process's
    png = io.BytesIO()
    figure.savefig(png, format="png", bbox_inches="tight", pad_inches=0.15)
    return png.getvalue()


# --- the image ---


def _read_small(info: ImageInfo) -> NDArray[np.uint8] | None:
    """Returns the image as (rows, columns, 3), or None if that took reading it whole."""
    shrink = max(1.0, max(info.width, info.height) / MAX_SIDE)
    size = max(1, round(info.height / shrink)), max(1, round(info.width / shrink))
    with environment(info.url, info.role), open_image(info.url) as source:
        bands = _bands(source)
        if not source.overviews(bands[0]) and info.width * info.height > MAX_SOURCE_PIXELS:
            return None
        pixels = source.read(bands, out_shape=(len(bands), *size), resampling=Resampling.nearest)
        nodata = [source.nodatavals[band - 1] for band in bands]
    stretched = [_stretch(band, none) for band, none in zip(pixels, nodata, strict=True)]
    rgb = np.stack(stretched * (3 // len(stretched)), axis=-1)
    grey = rgb.mean(axis=-1, keepdims=True)
    paler = 0.15 + 0.85 * (0.55 * grey + 0.45 * rgb)
    small: NDArray[np.uint8] = (255 * paler).astype(np.uint8)
    return small


def _bands(source: Any) -> list[int]:
    """Returns the bands that are red, green and blue: those that say so, else the first three."""
    meanings = list(source.colorinterp)
    colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    if all(colour in meanings for colour in colours):
        return [meanings.index(colour) + 1 for colour in colours]
    return [1, 2, 3] if source.count >= 3 and ColorInterp.alpha not in meanings[:3] else [1]


def _stretch(band: NDArray[Any], nodata: float | None) -> NDArray[np.float32]:
    """Returns a band with its 2nd and 98th percentile at 0 and 1, whatever its type."""
    values = np.abs(band) if np.iscomplexobj(band) else band
    known = np.isfinite(values)
    if nodata is not None:
        known &= values != nodata
    low, high = np.percentile(values[known], (2, 98)) if known.any() else (0, 0)
    if high <= low:
        return np.where(known, 0.5, 0).astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        stretched = np.clip((values - low) / (high - low), 0, 1)
    shown: NDArray[np.float32] = np.nan_to_num(stretched).astype(np.float32)
    return shown


# --- what lies over it ---


def _tint(axes: Axes, grid: Grid, outcomes: Sequence[Outcome]) -> None:
    boxes: dict[Outcome, list[Rectangle]] = {}
    numbered = len(outcomes) <= MAX_NUMBERED
    thin = 1.0 if numbered else 0.25
    for region, outcome in enumerate(outcomes):
        (row, column), (width, height) = grid.region_bounds(region)
        boxes.setdefault(outcome, []).append(Rectangle((column, row), width, height))
        if numbered:
            axes.annotate(
                str(region),
                (column, row),
                (4, -4),
                textcoords="offset points",
                va="top",
                fontsize=9,
                color="white",
                path_effects=[withStroke(linewidth=2, foreground="black")],
                zorder=4,
            )
    for outcome, rectangles in boxes.items():
        _, face, cover, hatch, ink = LOOKS[outcome]
        tint = PatchCollection(rectangles, facecolor=face, alpha=cover, linewidth=0, zorder=1)
        axes.add_collection(tint)
        border = PatchCollection(rectangles, facecolor="none", edgecolor="white", zorder=3)
        border.set_linewidth(thin)
        axes.add_collection(border)
        if hatch:
            lines = PatchCollection(rectangles, facecolor="none", edgecolor=ink, zorder=2)
            lines.set_hatch(hatch)
            lines.set_linewidth(0)
            axes.add_collection(lines)


def _outline(axes: Axes, info: ImageInfo, features: Iterable[Mapping[str, Any]]) -> int:
    """Outlines the features; returns how many."""
    shapes = [shape(feature["geometry"]) for feature in features if feature.get("geometry")]
    if not shapes:
        return 0
    parts = shapely.get_parts(shapely.get_parts(shapes))  # twice: collections hold multi-parts
    kinds = shapely.get_type_id(parts)
    rings = shapely.get_rings(parts[kinds == shapely.GeometryType.POLYGON])
    lines = np.concatenate([rings, parts[kinds == shapely.GeometryType.LINESTRING]])
    points = parts[kinds == shapely.GeometryType.POINT]
    paths, of = shapely.get_coordinates(lines, return_index=True)
    paths = _to_pixels(info, paths)
    segments = np.split(paths, np.flatnonzero(np.diff(of)) + 1) if len(paths) else []
    axes.add_collection(LineCollection(segments, colors=FEATURE_COLOUR, linewidths=0.6, zorder=2.5))
    dots = _to_pixels(info, shapely.get_coordinates(points))
    axes.plot(*dots.T, ".", color=FEATURE_COLOUR, markersize=3, zorder=2.5)
    return len(shapes)


def _to_pixels(info: ImageInfo, points: NDArray[np.float64]) -> NDArray[np.float64]:
    if info.crs is None or not len(points):
        return points
    return np.column_stack(from_lonlat(info, points[:, 0], points[:, 1]))


def _legend(outcomes: Sequence[Outcome], outlined: int) -> list[Any]:
    from matplotlib.lines import Line2D

    count = f"of {len(outcomes)} regions" if len(outcomes) != 1 else "of 1 region"
    handles: list[Any] = [
        Patch(
            facecolor=(face, 0.6),
            edgecolor=ink or face,
            hatch=hatch,
            label=f"{name}: {sum(1 for found in outcomes if found == outcome)} {count}",
        )
        for outcome, (name, face, _, hatch, ink) in LOOKS.items()
    ]
    if outlined:
        label = f"{outlined:,} features"
        handles.append(Line2D([], [], color=FEATURE_COLOUR, linewidth=1.5, label=label))
    return handles
