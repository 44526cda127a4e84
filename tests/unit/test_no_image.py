"""What can't be opened, or makes no sense: told in one line, with what to do, and no traceback."""

import os
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import rasterio

from raytracker import imagery
from raytracker.errors import InvalidImage
from raytracker.imagery.info import parsed_crs

describe = partial(imagery.describe, allow_driver=["VRT"])  # made by these tests

BAHAMAS = Path(__file__).parents[2] / "examples" / "data" / "bahamas.tif"


def _vrt(folder: Path, crs: str = "EPSG:32618", transform: str = "0,1,0,0,0,-1") -> Path:
    path = folder / "x.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="9" rasterYSize="9"><SRS>{crs}</SRS>'
        f"<GeoTransform>{transform}</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'
    )
    return path


def refused(name: Any) -> str:
    """Returns how it is refused, which is one line."""
    with pytest.raises(InvalidImage) as caught:
        describe(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "transform",
    ["5,0,0,5,0,0", "5,0,0,5,0,-1", "5,1,1,5,1,1", "5,nan,0,5,0,-1", "5,inf,0,5,0,-1"],
)
def test_pixels_of_no_size(tmp_path: Path, transform: str) -> None:
    """They have no place on the ground. Without a CRS nobody looks for one."""
    assert "pixels of no size" in refused(_vrt(tmp_path, transform=transform))
    assert describe(_vrt(tmp_path, crs="", transform=transform)).crs is None


@pytest.mark.parametrize(
    "crs", ["EPSG:999999", 'PROJCS["x",GEOGCS["y"]]', "+proj=nonsense", 'GEOGCS["x",DATUM["y"]]']
)
def test_a_crs_that_gdal_does_not_parse(tmp_path: Path, crs: str) -> None:
    """It would go on as if there was none, and results would be in pixels."""
    assert str(tmp_path) in refused(_vrt(tmp_path, crs=crs))


def test_a_crs_that_is_unknown_here() -> None:
    """On another node it was known."""
    with pytest.raises(InvalidImage, match="PROJ does not know the CRS EPSG:999999"):
        parsed_crs("EPSG:999999")


@pytest.mark.parametrize(
    "name", ["{0}/pipe", "/vsigzip/{0}/pipe", "netcdf:{0}/pipe:x", "zip://{0}/pipe"]
)
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    """Opening it would hang."""
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe or a device" in refused(name.format(tmp_path))


@pytest.mark.parametrize("name", ["/dev/null", "/dev/zero", "/proc/self/mem"])
def test_a_device(name: str) -> None:
    """It is no image."""
    assert name in refused(name)


def test_a_size_of_nothing(tmp_path: Path) -> None:
    """GDAL refuses it."""
    path = _vrt(tmp_path)
    path.write_text(path.read_text().replace('XSize="9"', 'XSize="0"'))
    assert "dimensions" in refused(path)


def test_a_loop_of_links(tmp_path: Path) -> None:
    """As the system says it."""
    (tmp_path / "loop.tif").symlink_to(tmp_path / "loop.tif")
    assert "symbolic links" in refused(tmp_path / "loop.tif")


def _older(folder: Path) -> None:
    database = Path(rasterio.__file__).parent / "proj_data" / "proj.db"
    (folder / "proj.db").write_bytes(database.read_bytes())
    with sqlite3.connect(folder / "proj.db") as connection:
        connection.execute(
            "UPDATE metadata SET value = '0' WHERE key = 'DATABASE.LAYOUT.VERSION.MINOR'"
        )


def _none(folder: Path) -> None:
    pass


def _garbage(folder: Path) -> None:
    (folder / "proj.db").write_bytes(b"garbage" * 1000)


@pytest.mark.parametrize("variable", ["PROJ_LIB", "PROJ_DATA"])
@pytest.mark.parametrize("make", [_older, _none, _garbage])
def test_another_projs_database(tmp_path: Path, variable: str, make: Any) -> None:
    """Of a QGIS or a conda of its own. An import raises nothing; the line says what to unset."""
    make(tmp_path)
    code = (
        "import sys\nfrom raytracker.errors import InvalidImage\n"
        "from raytracker.imagery import describe\n"
        "try:\n    describe(sys.argv[1])\nexcept InvalidImage as err:\n    print(err)"
    )
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PROJ_")
    }
    done = subprocess.run(
        [sys.executable, "-c", code, str(BAHAMAS)],
        env={**environment, variable: str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("PROJ cannot use its database")
    assert done.stdout.endswith(f": unset {variable}\n")
