"""Writes `vectors/`, which is described in its README.md.

python -m tests.strategies.secagg.make_vectors

What was recorded is written where it is missing alone, since signatures and encryption draw on chance: remove a file to record it anew.
"""

import json
from pathlib import Path

from tests.strategies.secagg import recorded_vectors, refused_vectors, vector_cases
from tests.strategies.secagg.vector_cases import Case

FOLDER = Path(__file__).parent / "vectors"
RECORDED = recorded_vectors.files()


def vectors() -> dict[str, list[Case]]:
    """File name to its cases, of all that involves no chance."""
    made = vector_cases.files() | refused_vectors.files()
    return {f"{name}.json": list(cases) for name, cases in made.items()}


def text(cases: list[Case]) -> str:
    """One case a line."""
    return "[\n" + ",\n".join(json.dumps(each, ensure_ascii=False) for each in cases) + "\n]\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, cases in vectors().items():
        (FOLDER / name).write_text(text(cases), encoding="utf-8")
    for name, record in RECORDED.items():
        if not (FOLDER / name).exists():
            (FOLDER / name).write_text(text(list(record())), encoding="utf-8")
