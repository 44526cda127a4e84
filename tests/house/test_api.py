"""The page of the API says what the docstrings say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_is_that_of_the_docstrings():
    """`make api` would change nothing."""
    done = subprocess.run([sys.executable, ROOT / "tools" / "api.py", "--check"], check=False)
    assert done.returncode == 0, "docs/api.md is stale: run `make api`"
