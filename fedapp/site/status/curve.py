"""Line charts as plain numbers: a template draws them, so that nothing but the template writes markup.

Not by matplotlib, as the report's: the page is drawn anew every few seconds beside a partner's training, and there a chart takes a
hundred times as long and loading the library twice as long as the whole page.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

WIDTH, HEIGHT = 520.0, 210.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 10.0, 34.0
TICKS = 5
FEW = 24  # points that are marked one by one
Points = Mapping[int, float | None]


@dataclass(frozen=True)
class Tick:
    """A place on an axis, and what is written there."""

    at: float
    label: str


@dataclass(frozen=True)
class CurveLine:
    """One series: its name, a path for each stretch without gaps, and the points to be marked."""

    name: str
    paths: list[str]
    marks: list[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """A drawing of `WIDTH` by `HEIGHT`; `chosen` is the place of a marked round on the first line."""

    lines: list[CurveLine]
    across: list[Tick]
    up: list[Tick]
    chosen: tuple[float, float] | None
    alt: str
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    bottom: float = HEIGHT - BOTTOM


def chart(what: str, series: Mapping[str, Points], rounds: int | None, chosen: int | None = None, from_zero: bool = False) -> Chart | None:
    """Series over rounds; None without a point.

    Args:
        what: They show, for those who cannot see it.
        rounds: Last round of the axis; None ends it with the last point.
        chosen: A round to mark on the first series.
        from_zero: Whether the upward axis begins with 0.
    """
    curves = {name: {number: value for number, value in points.items() if value is not None} for name, points in series.items()}
    values = [value for points in curves.values() for value in points.values()]
    if not values:
        return None
    numbers = [number for points in curves.values() for number in points]
    first, last = min(numbers), max(*numbers, rounds or 0, min(numbers) + 1)
    ticks = steps(0.0 if from_zero else min(values), max(values), TICKS)
    low, high = ticks[0], ticks[-1]

    def place(number: int, value: float) -> tuple[float, float]:
        x = LEFT + (number - first) / (last - first) * (WIDTH - RIGHT - LEFT)
        return round(x, 1), round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - BOTTOM - TOP), 1)

    main = next(iter(curves.values()))
    return Chart(
        lines=[
            _line(name, [(number, *place(number, points[number])) for number in sorted(points)])
            for name, points in curves.items()
            if points
        ],
        across=[Tick(place(int(at), low)[0], f"{at:.0f}") for at in whole(first, last)],
        up=[Tick(place(first, at)[1], _label(at, ticks[1] - ticks[0])) for at in ticks],
        chosen=place(chosen, main[chosen]) if chosen in main else None,
        alt=f"{what}: " + "; ".join(_told(name, points) for name, points in curves.items() if points) + ".",
    )


def steps(low: float, high: float, most: int) -> list[float]:
    """At most `most` + 1 round numbers that reach from `low` to `high`."""
    if high - low < 1e-9:
        low, high = low - max(abs(low), 1e-3) * 0.1, high + max(abs(high), 1e-3) * 0.1
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    width = next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= rough * 0.999)
    start = math.floor(low / width + 1e-9)
    return [index * width for index in range(start, math.ceil(high / width - 1e-9) + 1)]


def whole(first: int, last: int) -> list[float]:
    """Whole numbers from `first` to `last`, evenly spaced, few enough to be read."""
    width = max(1, math.ceil(steps(0, last - first, 8)[1]))
    inside = [float(number) for number in range(first, last + 1) if number % width == 0 and number - first >= width * 0.6]
    return [float(first), *inside]


def _line(name: str, points: list[tuple[int, float, float]]) -> CurveLine:
    stretches: list[list[tuple[int, float, float]]] = []
    for point in points:
        if stretches and point[0] == stretches[-1][-1][0] + 1:
            stretches[-1].append(point)
        else:
            stretches.append([point])
    paths = [" ".join(f"{x:g},{y:g}" for _, x, y in part) for part in stretches if len(part) > 1]
    alone = [part[0] for part in stretches if len(part) == 1]
    return CurveLine(name, paths, [(x, y) for _, x, y in (points if len(points) <= FEW else alone)])


def _label(value: float, width: float) -> str:
    digits = max(0, -math.floor(math.log10(width) + 1e-9))
    shown = round(width * 10**digits, 6)
    return f"{value:,.{digits if shown == int(shown) else digits + 1}f}"


def _told(name: str, points: Mapping[int, float]) -> str:
    first, last = min(points), max(points)
    if first == last:
        return f"{name} {points[first]:.3g} in round {first}"
    return f"{name} from {points[first]:.3g} in round {first} to {points[last]:.3g} in round {last}"
