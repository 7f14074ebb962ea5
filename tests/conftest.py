"""What several tests share: where the real data lie, and small datasets made at once."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("POLYPHONY_DATA", ROOT.parent / "shared" / "data"))


settings.register_profile("polyphony", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("polyphony")


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets; the test is skipped where there is none."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}; set POLYPHONY_DATA")
    return DATA
