"""The consortium's catalogue of common endpoints: what several partners measure, so that a task may have a shared head besides its own.

Imports neither polars nor RDKit: whoever asks for a trunk's shapes asks here how many shared heads there are.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedapp.config import Config
from fedapp.data.notation import ABSENT, LABEL_UNIT, MOLAR, P_UNIT, PERCENT_UNIT, THRESHOLDS_WITHIN, VALUES_WITHIN
from fedapp.errors import ConfigError
from fedapp.evaluation.arms import REGRESSION
from fedapp.storage.files import write_text
from fedapp.storage.yaml_file import SHOWN, first_line, read_large, to_text, typed
from fedapp.wording import is_plain, readings, shown

if TYPE_CHECKING:
    import polars as pl

GROUPS = "groups"  # in the place of a file, in simulations: every group of the partners' tasks is an endpoint
NO_SLOT = -1
MEASURED_IN = {P_UNIT: "-log10 M", PERCENT_UNIT: "of inhibition and the like", LABEL_UNIT: "0/1"}  # units that datasets have
FINEST = 1e-6  # of a scale, in any unit: below it, values would be beyond what numbers can hold
LARGEST = 1e30  # of a number, far within what datasets keep
WRITTEN = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")  # a number as people write it
HEADER = "# The endpoints that partners may measure in common; every partner has the same file. A list, in any order.\n"
HINT = (
    "`endpoints:` is a list of {id, measures, unit, thresholds}; for an endpoint that is learned as a value too, with value: true, centre "
    "and scale; of the unit label without all of these"
)


@dataclass(frozen=True)
class Endpoint:
    """What several partners may measure.

    Attributes:
        id: What partners declare a group of tasks to be.
        measures: In words, for people.
        unit: Of the values, one of `MEASURED_IN`: `p` (-log10 M), `%`, or `label` (0/1).
        thresholds: In that unit, of concentrations as -log10 M; a class is value >= threshold. None with 0/1 labels.
        value: Whether it is (also) learned as a value.
        centre, scale: With `value`: what is learned is (value - centre) / scale, at all partners alike.
    Raises:
        ValueError: Values that do not go together.
    """

    id: str
    measures: str
    unit: str
    thresholds: tuple[float, ...] = ()
    value: bool = False
    centre: float | None = None
    scale: float | None = None

    def __post_init__(self) -> None:
        for fault in (*self._unusable(), *self._unlearnable()):
            raise ValueError(fault)

    def _unusable(self) -> Iterator[str]:
        """Values that mean nothing."""
        yield from (f"its {name} is empty" for name in ("id", "measures", "unit") if not getattr(self, name).strip())
        if not is_name(self.id):
            yield f"its id is {self.id!r:.{SHOWN}}, which a table of declarations cannot hold"
        numbers = [*self.thresholds, *(number for number in (self.centre, self.scale) if number is not None)]
        yield from (f"{number} is no number within ±{LARGEST:g}" for number in numbers if not abs(number) <= LARGEST)
        if len(set(map(_float32, self.thresholds))) < len(self.thresholds):
            yield f"its thresholds {list(self.thresholds)} name one twice"
        if self.scale is not None and not self.scale > 0:
            yield f"its scale is {self.scale}, not above 0"
        yield from self._unmeasured()

    def _unmeasured(self) -> Iterator[str]:
        """Values that no dataset has."""
        if self.unit in MOLAR:
            yield f"its unit is {self.unit}: what partners measure as concentrations are p-values, -log10 M: write {P_UNIT}"
        if self.unit not in MEASURED_IN:
            units = ", ".join(f"{unit} ({what})" for unit, what in MEASURED_IN.items())
            yield f"its unit is {self.unit!r:.{SHOWN}}, and what partners measure is in one of {units}"
        if self.unit in THRESHOLDS_WITHIN:
            low, high, hint = THRESHOLDS_WITHIN[self.unit]
            yield from (
                f"its threshold {each:g} is not within {low:g} to {high:g}: {hint}" for each in self.thresholds if not low <= each <= high
            )
            low, high = VALUES_WITHIN[self.unit]
            if self.centre is not None and not low <= self.centre <= high:
                yield f"its centre {self.centre:g} is not within {low:g} to {high:g}, where values in {self.unit} are"
            if self.scale is not None and not FINEST <= self.scale <= high - low:
                yield f"its scale {self.scale:g} is not within {FINEST:g} to {high - low:g}, as far as values in {self.unit} may be apart"

    def _unlearnable(self) -> Iterator[str]:
        """Values that do not go together."""
        if self.unit == LABEL_UNIT and (self.thresholds or self.value):
            yield f"its unit is {LABEL_UNIT}, whose values are 0 and 1: they have no thresholds, and are no value to learn"
        if self.unit != LABEL_UNIT and not (self.thresholds or self.value):
            yield "it has no thresholds, and value is not true: nothing of it is learned"
        given = [name for name in ("centre", "scale") if getattr(self, name) is not None]
        if self.value and len(given) < 2:
            yield "value is true, and centre and scale, by which all partners normalise it, are not both given"
        if given and not self.value:
            yield f"it has {' and '.join(given)}, and value is not true"

    @property
    def slots(self) -> tuple[tuple[str, float | None], ...]:
        """Its shared heads: one per threshold, ascending, then one of its values or its 0/1 labels, whose threshold is None."""
        thresholds: list[float | None] = [*sorted(self.thresholds)]
        return tuple((self.id, threshold) for threshold in thresholds + [None] * (self.value or self.unit == LABEL_UNIT))


def is_name(text: str) -> bool:
    """Whether a cell of a table holds this as it is, and a terminal shows it so: a consent is given to what is read there.

    Tables are read without spaces around cells, and take `NA` for an absent one.
    """
    return text == text.strip() and text not in ABSENT and text != "" and is_plain(text)


@dataclass(frozen=True)
class Declaration:
    """What a partner says of a group of its tasks.

    Attributes:
        endpoint: Id of what the group measures.
        only: Of its tasks those that are meant, by threshold, None for that of values; without it all, whatever the catalogue has.
    """

    endpoint: str
    only: frozenset[float | None] | None = None

    def covers(self, threshold: float | None) -> bool:
        """Whether the group's task at this threshold, None for that of values, is meant."""
        return self.only is None or _float32(threshold) in map(_float32, self.only)

    def among(self, thresholds: Iterable[float | None]) -> "Declaration":
        """The same of a group that has tasks at these thresholds alone, or of an endpoint that is learned at these alone."""
        there = set(map(_float32, thresholds))
        return self if self.only is None else replace(self, only=frozenset(each for each in self.only if _float32(each) in there))


@dataclass(frozen=True)
class Catalogue:
    """Endpoints by ascending id, whatever the order in the file.

    Raises:
        ValueError: An id is there twice, or two that people cannot tell apart.
    """

    endpoints: tuple[Endpoint, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "endpoints", tuple(sorted(self.endpoints, key=lambda endpoint: endpoint.id)))
        read: dict[str, Endpoint] = {}
        for endpoint in self.endpoints:
            for other in (read.setdefault(reading, endpoint) for reading in readings(endpoint.id)):
                if other is not endpoint:
                    raise ValueError(_read_alike(other.id, endpoint.id))

    @cached_property
    def by_id(self) -> dict[str, Endpoint]:
        """The endpoints by their ids."""
        return {endpoint.id: endpoint for endpoint in self.endpoints}

    @cached_property
    def slots(self) -> tuple[tuple[str, float | None], ...]:
        """Endpoint and threshold of each shared head, by endpoint and threshold; None is an endpoint's value, or its 0/1 labels."""
        return tuple(slot for endpoint in self.endpoints for slot in endpoint.slots)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of all that it says, in whatever order."""
        said = [asdict(endpoint) | {"thresholds": sorted(endpoint.thresholds)} for endpoint in self.endpoints]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest()

    @cached_property
    def by_name(self) -> dict[str, Declaration]:
        """What a simulated partner declares: whichever of its groups is called as an endpoint is that endpoint."""
        return {identifier: Declaration(identifier) for identifier in self.by_id}


def _read_alike(one: str, other: str) -> str:
    if one == other:
        return f"the id {one!r:.{SHOWN}} is there twice"
    return (
        f"the ids {one!a:.{SHOWN}} and {other!a:.{SHOWN}} are read alike: they differ in case, spaces, kinds of dashes, or the coding or "
        "alphabet of letters alone"
    )


@dataclass(frozen=True)
class Entry:
    """One of a file's endpoints, as people write it."""

    id: str
    measures: str
    unit: str
    thresholds: list[float] | None = None
    value: bool = False
    centre: float | None = None
    scale: float | None = None


def read_catalogue(path: Path) -> Catalogue:
    """The catalogue in a YAML file.

    Raises:
        ConfigError: No such file, or an unusable one; the entry is named, and what of it.
    """
    if not path.is_file():
        raise ConfigError(
            f"no {'file, but a folder: ' if path.is_dir() else 'file '}{path}, the catalogue of common endpoints",
            "tasks.catalogue is the path of a YAML file; a site has it from its kit, by `polyphony kit install`",
        )
    given = read_large(path, HINT)
    if not isinstance(given, Mapping) or list(given) != ["endpoints"] or not isinstance(given["endpoints"], list):
        raise ConfigError(f"{path}: it has no list `endpoints:`, or more than that", HINT)
    if not given["endpoints"]:
        raise ConfigError(f"{path}: it names no endpoint", "without common endpoints tasks.catalogue is null")
    endpoints = [_endpoint(each, f"{path}: endpoint {number}") for number, each in enumerate(given["endpoints"], 1)]
    try:
        return Catalogue(tuple(endpoints))
    except ValueError as error:
        raise ConfigError(f"{path}: {first_line(error)}", "an endpoint is one entry, with all its thresholds") from error


def _endpoint(given: Any, where: str) -> Endpoint:
    if isinstance(given, Mapping) and isinstance(given.get("id"), str):
        where += f" ({shown(given['id']):.{SHOWN}})"
    entry = typed(_with_numbers(given), Entry, where, HINT)
    centre, scale = (None if number is None else float(number) for number in (entry.centre, entry.scale))
    try:
        return Endpoint(entry.id, entry.measures, entry.unit, tuple(map(float, entry.thresholds or ())), entry.value, centre, scale)
    except ValueError as error:
        raise ConfigError(f"{where}: {first_line(error)}", HINT) from error


def _with_numbers(given: Any) -> Any:
    """An entry in which `1e-6` is a number wherever one is asked for: YAML 1.1, which PyYAML reads, has that as text for want of a `.`."""
    if not isinstance(given, Mapping):
        return given
    numbers = {name: _number(given[name]) for name in ("centre", "scale") if name in given}
    if isinstance(thresholds := given.get("thresholds"), list):
        numbers["thresholds"] = [_number(each) for each in thresholds]
    return {**given, **numbers}


def _number(value: Any) -> Any:
    """What text says as a number, where it says one: no `nan`, no `inf`, no `1_000`."""
    return float(value) if isinstance(value, str) and WRITTEN.fullmatch(value) else value


def write_catalogue(path: Path, catalogue: Catalogue) -> None:
    """Write a catalogue for people to read, and for `read_catalogue`."""
    entries = []
    for endpoint in catalogue.endpoints:
        entry: dict[str, Any] = {"id": endpoint.id, "measures": endpoint.measures, "unit": endpoint.unit}
        if endpoint.thresholds:
            entry["thresholds"] = list(endpoint.thresholds)
        if endpoint.value:
            entry |= {"value": True, "centre": endpoint.centre, "scale": endpoint.scale}
        entries.append(entry)
    write_text(path, HEADER + to_text({"endpoints": entries}))


def catalogue_of(config: Config) -> Catalogue:
    """The catalogue that an experiment's option names, read once per process and version of the file; without one it is empty.

    Raises:
        ConfigError: As `read_catalogue`, or it stands for the groups of partners' tasks, which only a simulation's preparation knows.
    """
    named = config.tasks.catalogue
    if named is None:
        return Catalogue()
    if named == GROUPS:
        raise ConfigError(
            f"tasks.catalogue is {GROUPS}: the groups of all partners' tasks, which only a simulation knows",
            "between companies the catalogue is a file that they agree on",
        )
    path = Path(named)
    return _read(path, path.stat().st_mtime_ns if path.is_file() else 0)


def catalogue_digest(config: Config) -> str:
    """The digest of an experiment's catalogue as policies name it, hexadecimal; empty without one.

    Raises:
        ConfigError: As `catalogue_of`.
    """
    return "" if config.tasks.catalogue is None else catalogue_of(config).digest.hex()


@lru_cache(maxsize=8)
def _read(path: Path, _changed: int) -> Catalogue:
    return read_catalogue(path)


def slots_of(tasks: "pl.DataFrame", catalogue: Catalogue, declared: Mapping[str, Declaration]) -> NDArray[np.int32]:
    """The slot of each task of a dataset: int32 [tasks], `NO_SLOT` without one.

    A declared task has the slot of its group's endpoint in its own unit, at its own threshold; one of values or 0/1 labels that of an
    endpoint learned so.

    Args:
        tasks: A dataset's: group, threshold (float32, null for 0/1 labels and values), kind and unit where there are several.
        declared: By group.
    Raises:
        ConfigError: A group is declared to an endpoint that the catalogue does not have.
    """
    if unknown := [(group, each.endpoint) for group, each in declared.items() if each.endpoint not in catalogue.by_id]:
        raise ConfigError(
            f"{unknown[0][0]!r:.{SHOWN}} is declared to be {unknown[0][1]!r:.{SHOWN}}, which the catalogue does not have",
            "declare it to one of the catalogue's endpoints, or to none",
        )
    number = {(name, _float32(threshold)): slot for slot, (name, threshold) in enumerate(catalogue.slots)}
    slots = np.full(len(tasks), NO_SLOT, dtype=np.int32)
    rows = zip(tasks["group"], tasks["threshold"], _kinds_of(tasks), units_of(tasks), strict=True)
    for task, (group, threshold, kind, unit) in enumerate(rows):
        if (declaration := declared.get(group)) is None or not declaration.covers(threshold):
            continue
        endpoint = catalogue.by_id[declaration.endpoint]
        if unit == endpoint.unit and (threshold is not None or endpoint.value == (kind == REGRESSION)):
            slots[task] = number.get((endpoint.id, _float32(threshold)), NO_SLOT)
    return slots


def other_unit(group: str, units: Collection[str], endpoint: Endpoint) -> str:
    """That a group whose tasks are measured in these units cannot be an endpoint; empty if it can."""
    if endpoint.unit in units:
        return ""
    return f"{group} is measured in {' and '.join(sorted(units))}, and {endpoint.id} in {endpoint.unit}"


def units_of(tasks: "pl.DataFrame") -> list[str]:
    """The unit in which each task of a dataset is measured; a table without units has p-values and 0/1 labels."""
    if "unit" in tasks.columns:
        return list(tasks["unit"])
    labels = [threshold is None and kind != REGRESSION for threshold, kind in zip(tasks["threshold"], _kinds_of(tasks), strict=True)]
    return [LABEL_UNIT if label else P_UNIT for label in labels]


def _kinds_of(tasks: "pl.DataFrame") -> list[str]:
    return tasks["kind"].to_list() if "kind" in tasks.columns else [""] * len(tasks)


def _float32(threshold: float | None) -> float | None:
    """Thresholds are compared as datasets keep them: 6.7 is 6.7."""
    return None if threshold is None else float(np.float32(threshold))
