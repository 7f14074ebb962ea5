"""The least protection under which a partner takes part: its own file, which is in no kit and which no kit changes.

A kit brings policy and experiment along, so whoever makes kits could lower both. What they must not fall below, the partner says itself
in `floor.yaml`: it is made with the first installation, holds from then on, and is its owner's to edit. `polyphony kit install` refuses a
kit below it, `polyphony doctor` compares, and no request is answered while policy or experiment lie below. Limits of repetition bind a
partner alone: of these the tighter ones go into its policy, and no kit is refused for them.
"""

from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from omegaconf import OmegaConf

from fedapp.config import METRICS, saved_config
from fedapp.consortium.membership import changed
from fedapp.consortium.policy_file import PolicyFile, read_policy_file
from fedapp.consortium.roster_file import load_roster
from fedapp.errors import ConfigError
from fedapp.site.folder import CONFIG_FILE, Site
from fedapp.site.terms import SECURE, Terms
from fedapp.storage.files import write_text
from fedapp.storage.yaml_file import read_whole
from fedapp.wording import percent, plural
from strategies.secagg.repetition import RepetitionLimits
from strategies.secagg.roster import LEAST_PARTNERS

HEADER = """\
# The least protection under which this site takes part, whatever a kit brings. It is this site's own: no kit has such a file, and none
# changes it. `polyphony kit install` and every request hold policy.yaml and config.yaml against it, and `polyphony doctor` says how.
# A kit below it is refused, but for survivor_lists, sessions and cohort_changes: they bind this site alone, and where this file says less
# than the kit, `polyphony kit install` writes that into policy.yaml.
"""
LOST = (
    "bring it back from a backup; only if there is none, `polyphony kit install KIT {} --new-floor` makes one with the defaults, and what "
    "stood in it is to be written in again before this site is served"
)
LIMITS = tuple(each.name for each in fields(RepetitionLimits))
Limited = TypeVar("Limited", Terms, PolicyFile)
MEANING = {
    "row_guard": "training compounds of ours behind each row that we send, at least",
    "least_supporters": "partners behind each row that we send, at least: all but one of them together find the last one's",
    "least_partners": "partners in a sum, at least",
    "colluders": "partners with whom the coordinator still learns no single update, by the roster's threshold, at least",
    "largest_weight": "of a partner in the mean, at most; beyond 1 it tells the other partners of our number of labels",
    "endpoint_labels": "training compounds of ours behind our part in a shared head, at least, where there is a catalogue of endpoints",
    "rounds": "at most: each one tells the other partners a little more",
    "survivor_lists": "of one round that we sign, at most: one more sum of the same round tells more of our update",
    "sessions": "of a run that we join, at most",
    "cohort_changes": "at most: two sums whose partners differ by one tell of that one",
    "most_identified": "share of our training compounds that an update may name and still leave, at most",
    "least_compounds": "of an update, at least; null: as many as the first layer has units, since fewer can be solved for",
    "epsilon": "under privacy.profile=record_dp, in the place of row_guard, most_identified and least_compounds: at most",
    "delta": "the same",
    "metrics_shown": "whose mean the coordinator may learn: any of loss, auc_pr",
}


@dataclass(frozen=True)
class Floor:
    """`floor.yaml`; `MEANING` describes the keys. A list comes last, of which no part asks for less than the whole: see `read_floor`.

    Raises:
        ValueError: A value outside its range.
    """

    row_guard: int = 20
    least_supporters: int = 3
    least_partners: int = LEAST_PARTNERS
    colluders: int = 1
    largest_weight: int = 1
    endpoint_labels: int = 50
    rounds: int = 100
    survivor_lists: int = RepetitionLimits.survivor_lists
    sessions: int = RepetitionLimits.sessions
    cohort_changes: int = RepetitionLimits.cohort_changes
    most_identified: float = 0.001
    least_compounds: int | None = None
    epsilon: float = 8.0
    delta: float = 1e-6
    metrics_shown: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if unknown := set(self.metrics_shown) - set(METRICS):
            raise ValueError(f"metrics_shown has {sorted(unknown)}, and known are {list(METRICS)}")
        for key in (
            "row_guard",
            "least_supporters",
            "least_partners",
            "colluders",
            "largest_weight",
            "endpoint_labels",
            "rounds",
            "least_compounds",
            "epsilon",
            "delta",
        ):
            value = getattr(self, key)
            if value is not None and not value >= 0:
                raise ValueError(f"{key} is {value}, not 0 or more")
        if not 0 <= self.most_identified <= 1:
            raise ValueError(f"most_identified is {self.most_identified}, not a share from 0 to 1")
        RepetitionLimits(self.survivor_lists, self.sessions, self.cohort_changes)


DEFAULT = Floor()


def as_strict_as(terms: Terms) -> Floor:
    """The floor that these terms just reach: whatever lies below it is weaker than they are."""
    return Floor(
        row_guard=DEFAULT.row_guard if terms.noisy else terms.row_guard,
        least_supporters=terms.least_supporters,
        least_partners=terms.least_partners,
        colluders=terms.colluders,
        largest_weight=terms.largest_weight,
        endpoint_labels=DEFAULT.endpoint_labels if terms.endpoint_labels is None else terms.endpoint_labels,
        rounds=terms.rounds,
        survivor_lists=terms.survivor_lists,
        sessions=terms.sessions,
        cohort_changes=terms.cohort_changes,
        metrics_shown=list(terms.metrics_shown),
        most_identified=DEFAULT.most_identified if terms.noisy else terms.most_identified,
        least_compounds=None if terms.noisy else terms.least_compounds,
        epsilon=terms.epsilon if terms.noisy else DEFAULT.epsilon,
        delta=terms.delta if terms.noisy else DEFAULT.delta,
    )


def shortfalls(terms: Terms, floor: Floor) -> dict[str, str]:
    """What of these terms lies below a floor: the name of each, as in `terms.in_words`, and by how much.

    Secure aggregation is no matter of degree: at a site nothing leaves in the clear.
    """
    least = terms.width if floor.least_compounds is None else floor.least_compounds
    most, shown = percent(floor.most_identified), sorted(set(terms.metrics_shown) - set(floor.metrics_shown))
    rules: list[tuple[str, bool, str]] = [
        ("aggregation", terms.aggregation != SECURE, f"aggregation is {terms.aggregation}, and at a site it is {SECURE}"),
        (
            "supporters",
            terms.least_supporters < floor.least_supporters,
            f"rows of {terms.least_supporters} supporters are sent, fewer than the {floor.least_supporters} of least_supporters",
        ),
        (
            "sums",
            terms.least_partners < floor.least_partners,
            f"sums of {terms.least_partners} partners are accepted, fewer than the {floor.least_partners} of least_partners",
        ),
        (
            "sums",
            terms.colluders < floor.colluders,
            f"with {terms.colluders + 1} of the partners the coordinator may learn single updates, by the roster's threshold, "
            f"and colluders asks that {floor.colluders} cannot",
        ),
        (
            "weights",
            terms.largest_weight > floor.largest_weight,
            f"weights up to {terms.largest_weight}, beyond the {floor.largest_weight} of largest_weight: they tell of numbers of labels",
        ),
        (
            "endpoints",
            terms.endpoint_labels is not None and terms.endpoint_labels < floor.endpoint_labels,
            f"a part in shared heads of {plural(terms.endpoint_labels, 'training compound')}, fewer than the {floor.endpoint_labels:,} of "
            "endpoint_labels",
        ),
        ("rounds", terms.rounds > floor.rounds, f"{plural(terms.rounds, 'round')}, more than the {floor.rounds:,} of rounds"),
        *(
            ("repetition", most > getattr(floor, name), f"{plural(most, one)}, more than the {getattr(floor, name):,} of {name}")
            for name, most, one in (
                ("survivor_lists", terms.survivor_lists, "survivor list"),
                ("sessions", terms.sessions, "session"),
                ("cohort_changes", terms.cohort_changes, "cohort change"),
            )
        ),
        ("metrics", bool(shown), f"the coordinator learns the mean of {' and '.join(shown)}, which metrics_shown does not have"),
    ]
    if terms.noisy:
        rules += [
            ("noise", terms.epsilon > floor.epsilon, f"an epsilon of {terms.epsilon:g}, more than {floor.epsilon:g}"),
            ("noise", terms.delta > floor.delta, f"a delta of {terms.delta:g}, more than {floor.delta:g}"),
        ]
    else:
        rules += [
            (
                "row guard",
                terms.row_guard < floor.row_guard,
                f"a row guard of {terms.row_guard}, less than the {floor.row_guard} of row_guard",
            ),
            (
                "self-audit",
                terms.most_identified > floor.most_identified,
                f"updates may name {percent(terms.most_identified)} of the own compounds, beyond the {most} of most_identified",
            ),
            (
                "self-audit",
                terms.least_compounds < least,
                f"updates of {plural(terms.least_compounds, 'compound')} may leave, fewer than the {least:,} of least_compounds",
            ),
        ]
    reasons: dict[str, str] = {}
    for name, below, reason in rules:
        if below:
            reasons[name] = f"{reasons[name]}; {reason}" if name in reasons else reason
    return reasons


def tightened(held: Limited, floor: Floor) -> Limited:
    """The same terms or policy, with the tighter limits of repetition of the two."""
    return replace(held, **{name: min(getattr(held, name), getattr(floor, name)) for name in LIMITS})


def write_floor(path: Path, floor: Floor = DEFAULT) -> None:
    """Write a floor with the meaning of each key, for its owner to read and change."""
    lines = OmegaConf.to_yaml(OmegaConf.structured(floor)).splitlines()
    width = max(map(len, lines))
    write_text(path, HEADER + "".join(_explained(line, width) + "\n" for line in lines))


def _explained(line: str, width: int) -> str:
    key = line.partition(":")[0]
    return f"{line:<{width}}  # {MEANING[key]}" if key in MEANING else line


def read_floor(path: Path) -> Floor:
    """A site's floor. All keys must be there, so that a file that was cut off is refused, and nothing comes back as a default.

    Raises:
        ConfigError: Missing, incomplete or unusable.
    """
    if not path.is_file():
        raise ConfigError(f"no {path}, which says the least protection that this site accepts", LOST.format(path.parent))
    return read_whole(path, Floor, f"correct it there, or remove it and {LOST.format(path.parent)}")


def terms_of(site: Site) -> Terms:
    """The terms of a partner's own files, or of a kit's.

    Raises:
        ConfigError: One of them is missing or unusable.
    """
    return Terms.of(site.config(), read_policy_file(site.policy), load_roster(site.roster))


def check_floor(site: Site) -> None:
    """Refuse to take part under weaker terms than the site's own floor allows.

    Raises:
        ConfigError: Policy or experiment lie below it, or a file is missing or unusable.
    """
    files = (site.floor, site.path / CONFIG_FILE, site.policy, site.roster)
    _check_files(*files, tuple(map(changed, files)))


@lru_cache(maxsize=16)
def _check_files(floor: Path, config: Path, policy: Path, roster: Path, _changed: tuple[int, ...]) -> None:
    """Once per process and version of the files: parsing takes longer than a short phase."""
    below = shortfalls(Terms.of(saved_config(config), read_policy_file(policy), load_roster(roster)), read_floor(floor))
    if below:
        remedy = "bring back what was agreed, or ask for a kit that holds it"
        if below.keys() == {"repetition"}:
            remedy = "install the kit in use again, which takes these limits over"
        raise ConfigError(
            f"policy.yaml and config.yaml lie below {floor}: {'; '.join(below.values())}", f"{remedy}; to accept less, edit {floor}"
        )
