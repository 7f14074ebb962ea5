"""What exchanges across sites cost: `python -m tests.sites.measure --help`. Figures, not a test; Linux, as root for a slow network."""

import argparse
import json
import shutil
import statistics
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from fedapp.config import CONF, load_config
from fedapp.data.demo import demo_dataset
from tests.helpers.request_lines import read_requests
from tests.sites.consortium import Consortium, result
from tests.sites.slow_network import Link, Traffic, namespaces


def measure(path: Path, settings: list[str], slow: bool, patience: float) -> dict[str, object]:
    """Run a consortium of four with the demo's data to its end."""
    names = [f"partner-{number}" for number in range(1, 5)]
    config = load_config(CONF / "demo.yaml", tuple(settings))
    with ExitStack() as stack:
        traffic, spaces, host = Traffic(), {}, "127.0.0.1"
        if slow:
            addresses, traffic = stack.enter_context(namespaces(["pp0", "pp1", "pp2", "pp3", "pp4"], Link()))
            spaces, host = dict(zip(["coordinator", *names], addresses, strict=True)), addresses["pp0"]
        datasets = {name: path / "data" / name for name in names}
        for number, name in enumerate(names, 1):
            demo_dataset(datasets[name], number, len(names), config.chemistry, config.tasks)
        consortium = Consortium(path / "consortium", names, host=host, spaces=spaces)
        consortium.set_up(datasets, CONF / "demo.yaml", *settings, seed=1)
        stack.callback(consortium.stop_all)
        consortium.start_all()
        with consortium.federate() as running:
            told = result(running, patience)
        return told | {"phases": phases(consortium), "link_bytes": {"sent": traffic.sent, "lost_packets": traffic.dropped}}


def phases(consortium: Consortium) -> dict[str, dict[str, float]]:
    """By phase: exchanges, and medians of seconds, of the slowest partner's seconds for its answer, and of what is left."""
    answers: dict[tuple[str, str], list[float]] = defaultdict(list)
    for name in consortium.names:
        for request in read_requests(consortium.site(name) / "state"):
            answers[request.step, request.round].append(request.seconds)
    held: dict[str, list[tuple[float, float, int, int]]] = defaultdict(list)
    for each in consortium.journal():
        slowest = max(answers.get((each.phase, str(each.round)), [0.0]))
        held[each.phase].append((each.seconds, slowest, each.bytes_up, each.bytes_down))
    return {
        phase: {
            "exchanges": len(rows),
            "seconds": round(statistics.median(row[0] for row in rows), 2),
            "answer_s": round(statistics.median(row[1] for row in rows), 2),
            "way_s": round(statistics.median(row[0] - row[1] for row in rows), 2),
            "bytes_up": max(row[2] for row in rows),
            "bytes_down": max(row[3] for row in rows),
        }
        for phase, rows in held.items()
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slow", action="store_true", help="100 Mbit/s, 50 ms there and back, 1 %% loss, in network namespaces")
    parser.add_argument("--patience", type=float, default=550.0)
    parser.add_argument("settings", nargs="*", help="KEY=VALUE over conf/demo.yaml")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        print(json.dumps(measure(folder, given.settings, given.slow, given.patience), indent=2))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
