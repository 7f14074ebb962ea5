"""A partner's consent, task by task: which of its tasks it declares to be endpoints of the consortium's catalogue.

`polyphony accept` alone writes it: to endpoints.csv, and, in words that say what each endpoint is, to policy.yaml. No kit has either, so
whoever makes kits declares nothing for a partner; where a new kit's catalogue says something else of a declared endpoint, or a file was
changed, no request is answered until the partner has accepted anew.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from fedapp.consortium.membership import changed
from fedapp.consortium.policy_file import read_policy_file
from fedapp.data.catalogue import Catalogue, Declaration, Endpoint, catalogue_of, is_name, other_unit, units_of
from fedapp.data.dataset import Dataset
from fedapp.data.declarations import both, in_order, read_declarations, saying, thresholds_in
from fedapp.errors import ConfigError
from fedapp.evaluation.arms import REGRESSION
from fedapp.site.folder import ENDPOINTS_FILE, Site

MATCHING, NONE = "matching", "none"  # in the place of a table
# What a person is told, who is about to declare: what the others learn by it.
CONSENT = (
    "every partner learns how many partners have a part in each shared head, and not who; it is in play with three or more, as they say: "
    "one that says it has more of a part than it has is not noticed, as long as the sum is not above the number of partners",
    "what we learn for it is averaged with the others': every partner learns the mean of the heads, and all but one together the last "
    "one's",
    "where holders drop out of a round, or take no part any more, the sum of those who are left travels, and every partner can read it, "
    "down to one holder's head; with fewer than three it is not used, and polyphony status tells it",
    "the coordinator learns how many shared heads are in play, and neither which nor what is in them; where these are all of the "
    "catalogue's, or none, it knows it of each",
)
AGAIN = "say again all that is declared: polyphony accept {} DATASET --endpoint GROUP=ENDPOINT, as often as there are groups"
NAMED = 5  # faults in a message
LISTED = 10  # names in one


@dataclass(frozen=True)
class Wanted:
    """What a person says of endpoints; without a word of it, what was declared before stays.

    Attributes:
        pairs: `GROUP=ENDPOINT`, each a declaration, or `GROUP@THRESHOLDS=ENDPOINT` of some of the group's tasks.
        table: A table of declarations, `MATCHING` for every group that is called as an endpoint, or `NONE`.
    """

    pairs: tuple[str, ...] = ()
    table: str | None = None


UNSAID = Wanted()


def declared(site: Site) -> dict[str, Declaration]:
    """What a partner declared of its groups of tasks; empty before it declared any, and without a catalogue.

    Raises:
        DataError: The table is damaged.
    """
    if site.config().tasks.catalogue is None or not site.endpoints.is_file():
        return {}
    return dict(_declared(site.endpoints, changed(site.endpoints)))


@lru_cache(maxsize=8)
def _declared(path: Path, _changed: int) -> dict[str, Declaration]:
    return read_declarations(path)


def consent(group: str, said: Declaration, endpoint: Endpoint) -> str:
    """What policy.yaml says of one declaration: all that is meant of the endpoint, so that another one under its id is not covered."""
    learned = [f"{threshold:g}" for threshold in sorted(endpoint.thresholds) if said.covers(threshold)]
    if endpoint.value and said.covers(None):
        learned.append(f"as a value, of which {endpoint.centre:g} is taken off, and the rest divided by {endpoint.scale:g}")
    return f"{group} is {endpoint.id}: {endpoint.measures} ({endpoint.unit}){', ' if learned else ''}{', '.join(learned)}"


def check_endpoints(site: Site) -> None:
    """Refuse to run with declarations that were not accepted, or with endpoints that were others then.

    Raises:
        ConfigError: Something is another; the first is named.
        DataError: The table is damaged.
    """
    config, accepted = site.config(), set(read_policy_file(site.policy).endpoints)
    if config.tasks.catalogue is None:
        return
    endpoints, said = catalogue_of(config).by_id, set()
    for group, each in declared(site).items():
        if each.endpoint not in endpoints:
            raise ConfigError(f"{site.endpoints}: {group} is {each.endpoint}, which the catalogue does not have", AGAIN.format(site.path))
        said.add(sentence := consent(group, each, endpoints[each.endpoint]))
        if sentence not in accepted:
            raise ConfigError(f"{site.endpoints}: “{sentence}” is not what {site.policy} accepts of {group}", AGAIN.format(site.path))
    if missing := sorted(accepted - said):
        raise ConfigError(f"{site.policy} accepts “{missing[0]}”, which {site.endpoints} does not declare", AGAIN.format(site.path))


@dataclass(frozen=True)
class _Group:
    """A group of a dataset's tasks.

    Attributes:
        units: In which they are measured: p-values and 0/1 labels may be in one.
        learned: Thresholds of its classes, None for its values.
    """

    units: set[str]
    learned: set[float | None]


def chosen(site: Site, wanted: Wanted, dataset: Dataset) -> dict[str, Declaration]:
    """What is declared of the groups of a dataset: what a person says, or else what was declared before and still means the same.

    Raises:
        ConfigError: No catalogue; a group, a threshold or an endpoint that is not there, two endpoints for a group, or an endpoint in
            another unit.
        DataError: An unusable table.
    """
    catalogue, groups = catalogue_of(site.config()), _groups(dataset)
    result = _kept(site, catalogue, groups) if wanted == UNSAID else _said(site, wanted, catalogue, groups)
    if faults := [fault for pair in result.items() if (fault := _fault(*pair, groups, catalogue))]:
        more = f"; and {len(faults) - NAMED:,} more" if len(faults) > NAMED else ""
        there = [
            *([f"the dataset has tasks of {_some(groups)}"] if result.keys() - groups.keys() else []),
            *(
                [f"the catalogue has {_some(catalogue.by_id)}"]
                if {each.endpoint for each in result.values()} - catalogue.by_id.keys()
                else []
            ),
        ]
        raise ConfigError(f"{'; '.join(faults[:NAMED])}{more}", "; ".join(["nothing was declared, and the site is as it was", *there]))
    return result


def _said(site: Site, wanted: Wanted, catalogue: Catalogue, groups: Mapping[str, _Group]) -> dict[str, Declaration]:
    """What a person says; `MATCHING` are those of a fitting unit of which nothing else is said.

    Raises:
        ConfigError: No catalogue, no pair, or two endpoints for a group.
        DataError: An unusable table.
    """
    if not catalogue.endpoints and wanted.table != NONE:
        raise ConfigError(
            f"{site.path} has no catalogue, so nothing can be declared", "the kit of an experiment with tasks.catalogue has it"
        )
    if wanted.pairs and wanted.table == NONE:
        raise ConfigError(f"--endpoints {NONE} and --endpoint {wanted.pairs[0]!r:.80} say two things", "give one of them")
    said = [_split(pair, groups, catalogue) for pair in wanted.pairs]
    if wanted.table == MATCHING:
        pairs = {group for group, _ in said}
        said += [(group, Declaration(group)) for group in _namesakes(groups, catalogue) if group not in pairs]
    elif wanted.table not in (None, NONE):
        said += read_declarations(Path(wanted.table)).items()
    result: dict[str, Declaration] = {}
    for group, each in said:
        try:
            result[group] = both(group, result.get(group), each)
        except ValueError as error:
            raise ConfigError(str(error), "a group of tasks is one endpoint, with all of its tasks or with those that are named") from error
    return result


def _kept(site: Site, catalogue: Catalogue, groups: Mapping[str, _Group]) -> dict[str, Declaration]:
    """Earlier declarations of what is still there.

    Raises:
        ConfigError: One whose endpoint is not what it was: only a person can say whether it still holds.
    """
    kept, accepted = {}, read_policy_file(site.policy).endpoints
    for group, each in declared(site).items():
        if group not in groups:
            continue
        name = each.endpoint
        if name not in catalogue.by_id or consent(group, each, catalogue.by_id[name]) not in accepted:
            raise ConfigError(
                _unlike(site, group, each, accepted),
                f"{AGAIN.format(site.path)}; or --endpoints {NONE}",
            )
        there = each.among(groups[group].learned)
        if there.only != frozenset():
            kept[group] = there
    return kept


def _unlike(site: Site, group: str, each: Declaration, accepted: Collection[str]) -> str:
    """How a row of the site's table differs from what was accepted: which of table and catalogue changed is not always to be told."""
    name, endpoint = each.endpoint, catalogue_of(site.config()).by_id.get(each.endpoint)
    before = [sentence for sentence in accepted if sentence.startswith(f"{group} is {name}: ")]
    if not before:
        return f"{site.endpoints}: {group} is declared to be {name}, which was never accepted"
    now = f": “{consent(group, each, endpoint)}”, not “{before[0]}”" if endpoint else ""
    return f"{group} was declared to be {name}, and {site.endpoints.name} or the catalogue says something else of {name} now{now}"


def _readings(pair: str) -> Iterator[tuple[str, str | None, str]]:
    """Group, thresholds if any are named, and endpoint, of whatever `GROUP=ENDPOINT` or `GROUP@THRESHOLDS=ENDPOINT` may mean.

    There may be a `=` and a `@` in names.
    """
    parts = pair.split("=")
    for place in range(1, len(parts)):
        left, endpoint = "=".join(parts[:place]).strip(), "=".join(parts[place:]).strip()
        yield left, None, endpoint
        group, at, thresholds = left.rpartition("@")
        if at:
            yield group.strip(), thresholds, endpoint


def _split(pair: str, groups: Collection[str], catalogue: Catalogue) -> tuple[str, Declaration]:
    """Group and declaration of `GROUP=ENDPOINT` or `GROUP@THRESHOLDS=ENDPOINT`, told apart from each other by what there is.

    Raises:
        ConfigError: It is neither, may mean two things, or names what is no threshold.
    """
    readings = list(_readings(pair))
    if not readings or not (readings[0][0] and readings[0][2]):
        raise ConfigError(f"--endpoint {pair!r:.80} is not GROUP=ENDPOINT", "such as --endpoint 'our hERG assay=hERG'")
    known = [reading for reading in readings if reading[0] in groups]
    fitting = [reading for reading in known if reading[2] in catalogue.by_id]
    if len(fitting) > 1:
        raise ConfigError(
            f"--endpoint {pair!r:.80} may be of {' or of '.join(repr(group) for group, *_ in fitting)}",
            "say it in a table: --endpoints TABLE",
        )
    group, thresholds, endpoint = (fitting or known or readings)[0]
    try:
        return group, Declaration(endpoint, None if thresholds is None else thresholds_in(thresholds))
    except ValueError as error:
        raise ConfigError(f"--endpoint {pair!r:.80}: {error}", "such as --endpoint 'our hERG assay@5.5=hERG'") from error


def _groups(dataset: Dataset) -> dict[str, _Group]:
    groups: dict[str, _Group] = {}
    tasks = dataset.tasks
    kinds = tasks["kind"].to_list() if "kind" in tasks.columns else [""] * len(tasks)
    for group, threshold, kind, unit in zip(tasks["group"], tasks["threshold"], kinds, units_of(tasks), strict=True):
        held = groups.setdefault(group, _Group(set(), set()))
        held.units.add(unit)
        if threshold is not None or kind == REGRESSION:
            held.learned.add(threshold)
    return groups


def _fault(group: str, said: Declaration, groups: Mapping[str, _Group], catalogue: Catalogue) -> str:
    """What is wrong with one declaration; empty if nothing is."""
    name = said.endpoint
    if name not in catalogue.by_id:
        return f"the catalogue has no endpoint {name!r:.80}{_similar(name, catalogue.by_id)}"
    if group not in groups:
        return f"the dataset has no task of {group!r:.80}{_similar(group, groups)}"
    if not is_name(group):
        return f"{group!r:.80} is a name that {ENDPOINTS_FILE} cannot hold, or that cannot be shown as it is"
    endpoint, units = catalogue.by_id[name], groups[group].units
    if fault := other_unit(group, units, endpoint):
        return fault
    common = {*endpoint.thresholds, *([None] if endpoint.value else [])}
    for owner, what, there in (("catalogue", name, common), ("dataset", group, groups[group].learned)):
        absent: set[float | None] = {*(said.only or ())} - {*(said.among(there).only or ())}
        if absent:
            return f"the {owner} has {what} {_at(there)}, and not {_at(absent)}"
    return ""


def _at(learned: Iterable[float | None]) -> str:
    words = ["as a value" if threshold is None else f"at {threshold:g}" for threshold in in_order(learned)]
    return " and ".join(words) or "without thresholds"


def _similar(name: str, known: Collection[str]) -> str:
    folded = {each.casefold(): each for each in known}
    close = get_close_matches(name.casefold(), folded, n=3) or [each for each in sorted(folded) if name.casefold() in each][:3]
    similar = [folded[each] for each in close]
    return f", but {' and '.join(map(repr, similar))}" if similar else ""


def _some(names: Collection[str]) -> str:
    """The first of many names."""
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(f"{each!r:.80}" for each in sorted(names)[:LISTED]) + more


def unmatched(site: Site, dataset: Dataset) -> list[str]:
    """Why `MATCHING` declared no group, in sentences; none where it declared one."""
    groups, catalogue = _groups(dataset), catalogue_of(site.config())
    if any(group == each.endpoint for group, each in declared(site).items()):
        return []
    called = sorted(catalogue.by_id.keys() & groups.keys())
    unlike = [fault for group in called if (fault := _fault(group, Declaration(group), groups, catalogue))]
    why = unlike[:NAMED] or [f"the dataset has tasks of {_some(groups)}, and the catalogue has {_some(catalogue.by_id)}"]
    return [f"{MATCHING} declared nothing, since no group that fits is called as an endpoint: {'; '.join(why)}"]


def proposed(site: Site, dataset: Dataset) -> list[str]:
    """Groups that are called as an endpoint of a fitting unit and declared to be none; never taken for it without a person's word."""
    said = declared(site)
    return [group for group in _namesakes(_groups(dataset), catalogue_of(site.config())) if group not in said]


def _namesakes(groups: Mapping[str, _Group], catalogue: Catalogue) -> list[str]:
    """Groups that are called as an endpoint of a fitting unit."""
    called = sorted(catalogue.by_id.keys() & groups.keys())
    return [group for group in called if not _fault(group, Declaration(group), groups, catalogue)]


def standing(site: Site) -> list[str]:
    """What is declared, as arguments of `accept` that say it again."""
    return [word for group, each in declared(site).items() for word in ("--endpoint", f"{saying(group, each.only)}={each.endpoint}")]


def altered(site: Site, before: Collection[str]) -> tuple[list[str], dict[str, str]]:
    """What became of earlier consents, in the words of `consent`: those that ended, and those that changed, each with what it is now."""
    endpoints = catalogue_of(site.config()).by_id
    now = {group: consent(group, each, endpoints[each.endpoint]) for group, each in declared(site).items()}
    gone = [sentence for sentence in before if sentence not in now.values()]
    fresh = {group: sentence for group, sentence in now.items() if sentence not in before}
    changed = {old: fresh[max(same, key=len)] for old in gone if (same := [group for group in fresh if old.startswith(f"{group} is ")])}
    return [sentence for sentence in gone if sentence not in changed], changed
