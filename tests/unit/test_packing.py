"""The arrays in a chunk's object: packed where that is worth the while, and read as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from raytracker.pipeline.objects import TileResult, packed, unpacked


def read_back(array: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Returns an array as an object gives it back, and the object's bytes."""
    name, data = packed({(0, 0): TileResult((0, 0), arrays={"raster": array})})
    return unpacked(name, data).arrays((0, 0))["raster"].unpacked(), len(data)


@settings(max_examples=50, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from(["uint8", "int16", "float32", "float64"]),
        st.tuples(st.integers(1, 3), st.integers(0, 70), st.integers(0, 70)),
    )
)
def test_an_array_is_read_as_it_was(array: NDArray[Any]) -> None:
    """Of any type and size, none among them."""
    found, _ = read_back(array)
    assert found.dtype == array.dtype
    assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize("order", ["C", "F"])
def test_noise_is_not_packed(order: Any) -> None:
    """That takes longer than everything else, and saves a tenth."""
    noise = np.random.default_rng(1).random((3, 256, 256), np.float32).copy(order)
    found, size = read_back(noise)
    assert (found == noise).all()
    assert size >= noise.nbytes


def test_scores_are_not_packed() -> None:
    """Half of them are sure, which packs well; the others take longer than that saves."""
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 10_001, (3, 256, 256), np.uint16)
    scores[rng.random(scores.shape) < 0.5] = 0
    found, size = read_back(scores)
    assert (found == scores).all()
    assert size >= scores.nbytes


def test_a_mask_is_packed() -> None:
    """A hundredth of its pixels are left."""
    mask = np.zeros((1, 512, 512), np.uint8)
    mask[:, 100:200, 50:400] = 1
    found, size = read_back(mask)
    assert (found == mask).all()
    assert size < mask.nbytes / 100
