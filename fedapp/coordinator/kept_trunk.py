"""The trunk that the coordinator keeps between two rounds under plain aggregation; under secure aggregation it has none."""

from dataclasses import replace
from pathlib import Path

from fedapp.coordinator.side import CoordinatorSide
from fedapp.model.first_trunk import first_trunk
from strategies.update.shared_trunk import SharedTrunk, no_trunk


def latest_trunk(side: CoordinatorSide) -> SharedTrunk:
    """The last trunk that the coordinator kept under plain aggregation; the seeded first one if there is none."""
    stored = sorted(side.folder.glob("trunk-*.safetensors"), key=round_of)
    if stored:
        return SharedTrunk.read(stored[-1])
    return replace(no_trunk(side.config.privacy.range), arrays=first_trunk(side.config, b""))


def keep_trunk(folder: Path, shared: SharedTrunk) -> None:
    """Store a trunk, and drop those older than the one before it."""
    shared.write(folder / f"trunk-{shared.version:04d}.safetensors")
    for old in folder.glob("trunk-*.safetensors"):
        if round_of(old) < shared.version - 1:
            old.unlink()


def round_of(path: Path) -> int:
    """`trunk-0007.safetensors` is round 7."""
    return int(path.stem.removeprefix("trunk-"))
