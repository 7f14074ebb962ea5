"""What the report's tests share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedapp.evaluation import intervals
from tests.report.audit_facts import save, undrawn
from tests.report.synthetic import Synthetic

__all__ = ["save", "undrawn"]


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that look at the page's words and not at how wide its intervals are, of which a page has dozens."""
    monkeypatch.setattr(intervals, "RESAMPLES", 50)


@pytest.fixture
def synthetic(tmp_path: Path) -> Callable[..., Path]:
    """Write a run folder of the given shape and return it."""

    def make(name: str = "fsmol-2026-11-22", **shape: Any) -> Path:
        return Synthetic(tmp_path / name, **shape).write()

    return make
