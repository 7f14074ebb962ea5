"""A partner's consent, task by task: which of its groups of tasks it declares to be endpoints of the consortium's catalogue.

`polyphony accept` alone writes it: to endpoints.csv, and, in words that say what each endpoint is, to policy.yaml. No kit has either, so
whoever makes kits declares nothing for a partner; where a new kit's catalogue says something else of a declared endpoint, or a file was
changed, no request is answered until the partner has accepted anew.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from fedapp.consortium.membership import changed
from fedapp.consortium.policy_file import read_policy_file
from fedapp.data.catalogue import Catalogue, Endpoint, catalogue_digest, catalogue_of, is_name, units_of
from fedapp.data.dataset import Dataset
from fedapp.data.declarations import read_declarations
from fedapp.errors import ConfigError
from fedapp.site.folder import ENDPOINTS_FILE, Site

MATCHING, NONE = "matching", "none"  # in the place of a table
# What a person is told, who is about to declare: what the others learn by it.
CONSENT = (
    "every partner learns how many partners have a part in each shared head, and not who; it is in play with three or more",
    "what we learn for it is averaged with the others': every partner learns the mean of the heads, and all but one together the last "
    "one's; the coordinator learns neither",
)
AGAIN = "say again what is declared: polyphony accept {} DATASET --endpoint GROUP=ENDPOINT"
NAMED = 5  # faults in a message


@dataclass(frozen=True)
class Wanted:
    """What a person says of endpoints; without a word of it, what was declared before stays.

    Attributes:
        pairs: `GROUP=ENDPOINT`, each a declaration.
        table: A table of declarations, `MATCHING` for every group that is called as an endpoint, or `NONE`.
    """

    pairs: tuple[str, ...] = ()
    table: str | None = None


UNSAID = Wanted()


def declared(site: Site) -> dict[str, str]:
    """The groups of tasks that a partner declared, to the ids of their endpoints; empty before it declared any, and without a catalogue.

    Raises:
        DataError: The table is damaged.
    """
    if site.config().tasks.catalogue is None or not site.endpoints.is_file():
        return {}
    return dict(_declared(site.endpoints, changed(site.endpoints)))


@lru_cache(maxsize=8)
def _declared(path: Path, _changed: int) -> dict[str, str]:
    return read_declarations(path)


def consent(group: str, endpoint: Endpoint) -> str:
    """What policy.yaml says of one declaration: all that the endpoint is, so that another one under its id is not covered by it."""
    learned = [f"{threshold:g}" for threshold in sorted(endpoint.thresholds)]
    if endpoint.value:
        learned.append(f"as a value, of which {endpoint.centre:g} is taken off, and the rest divided by {endpoint.scale:g}")
    return f"{group} is {endpoint.id}: {endpoint.measures} ({endpoint.unit}){', ' if learned else ''}{', '.join(learned)}"


def check_catalogue(site: Site) -> None:
    """Refuse another catalogue than the one that policy, or proposal, names.

    Raises:
        ConfigError: It is another, missing or unusable.
    """
    terms = site.policy if site.partner else site.proposal
    digest, named = catalogue_digest(site.config()), read_policy_file(terms).catalogue
    if digest != named:
        raise ConfigError(
            f"{site.catalogue} is not the catalogue that {terms} names: its digest is {digest[:16] or 'none'}, not {named[:16] or 'any'}",
            "bring back the one in the kit, or ask whoever made the kit",
        )


def check_endpoints(site: Site) -> None:
    """Refuse to run with another catalogue, with declarations that were not accepted, or with endpoints that were others then.

    Raises:
        ConfigError: Something is another; the first is named.
        DataError: The table is damaged.
    """
    check_catalogue(site)
    config, accepted = site.config(), set(read_policy_file(site.policy).endpoints)
    if config.tasks.catalogue is None:
        return
    endpoints, said = catalogue_of(config).by_id, set()
    for group, name in declared(site).items():
        if name not in endpoints:
            raise ConfigError(f"{site.endpoints}: {group} is {name}, which the catalogue does not have", AGAIN.format(site.path))
        said.add(sentence := consent(group, endpoints[name]))
        if sentence not in accepted:
            raise ConfigError(f"{site.endpoints}: “{sentence}” is not what {site.policy} accepts of {group}", AGAIN.format(site.path))
    if missing := sorted(accepted - said):
        raise ConfigError(f"{site.policy} accepts “{missing[0]}”, which {site.endpoints} does not declare", AGAIN.format(site.path))


def chosen(site: Site, wanted: Wanted, dataset: Dataset) -> dict[str, str]:
    """What is declared of the groups of a dataset: what a person says, or else what was declared before and still means the same.

    Raises:
        ConfigError: No catalogue; a group or an endpoint that is not there, two endpoints for a group, or an endpoint in another unit.
        DataError: An unusable table.
    """
    catalogue, units = catalogue_of(site.config()), _units(dataset)
    result = _kept(site, catalogue, units.keys()) if wanted == UNSAID else _said(site, wanted, catalogue, units)
    if faults := [fault for pair in result.items() if (fault := _fault(*pair, units, catalogue))]:
        more = f"; and {len(faults) - NAMED:,} more" if len(faults) > NAMED else ""
        raise ConfigError(f"{'; '.join(faults[:NAMED])}{more}", "nothing was declared, and the site is as it was")
    return result


def _said(site: Site, wanted: Wanted, catalogue: Catalogue, units: Mapping[str, set[str]]) -> dict[str, str]:
    """What a person says; `MATCHING` are those of a fitting unit.

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
    said = [_split(pair, units, catalogue) for pair in wanted.pairs]
    if wanted.table == MATCHING:
        same = sorted(catalogue.by_id.keys() & units.keys())
        said += [(group, group) for group in same if not _fault(group, group, units, catalogue)]
    elif wanted.table not in (None, NONE):
        said += read_declarations(Path(wanted.table)).items()
    result: dict[str, str] = {}
    for group, name in said:
        if result.setdefault(group, name) != name:
            raise ConfigError(f"{group} is declared to be {result[group]} and {name}", "a group of tasks is one endpoint")
    return result


def _kept(site: Site, catalogue: Catalogue, groups: Collection[str]) -> dict[str, str]:
    """Earlier declarations of groups that are still there.

    Raises:
        ConfigError: One whose endpoint is not what it was: only a person can say whether it still holds.
    """
    kept = {group: name for group, name in declared(site).items() if group in groups}
    accepted = set(read_policy_file(site.policy).endpoints)
    for group, name in kept.items():
        if name not in catalogue.by_id or consent(group, catalogue.by_id[name]) not in accepted:
            raise ConfigError(
                f"{group} was declared to be {name}, and the catalogue says something else of {name} now",
                f"{AGAIN.format(site.path)}, as often as there are groups; or --endpoints {NONE}",
            )
    return kept


def _split(pair: str, groups: Collection[str], catalogue: Catalogue) -> tuple[str, str]:
    """Group and endpoint of `GROUP=ENDPOINT`, in either of which there may be a `=`.

    Raises:
        ConfigError: There is none between them.
    """
    parts = pair.split("=")
    splits = [("=".join(parts[:place]).strip(), "=".join(parts[place:]).strip()) for place in range(1, len(parts))]
    if not splits or not all(splits[0]):
        raise ConfigError(f"--endpoint {pair!r:.80} is not GROUP=ENDPOINT", "such as --endpoint 'our hERG assay=hERG'")
    return next((split for split in splits if split[0] in groups and split[1] in catalogue.by_id), splits[0])


def _units(dataset: Dataset) -> dict[str, set[str]]:
    """The units in which the tasks of each group are measured: p-values and 0/1 labels may be in one."""
    units: dict[str, set[str]] = {}
    for group, unit in zip(dataset.tasks["group"], units_of(dataset.tasks), strict=True):
        units.setdefault(group, set()).add(unit)
    return units


def _fault(group: str, name: str, units: Mapping[str, set[str]], catalogue: Catalogue) -> str:
    """What is wrong with one declaration; empty if nothing is."""
    if name not in catalogue.by_id:
        return f"the catalogue has no endpoint {name!r:.80}{_similar(name, catalogue.by_id)}"
    if group not in units:
        return f"the dataset has no task of {group!r:.80}{_similar(group, units)}"
    if not is_name(group):
        return f"{group!r:.80} is a name that {ENDPOINTS_FILE} cannot hold"
    unit = catalogue.by_id[name].unit
    return "" if unit in units[group] else f"{group} is measured in {' and '.join(sorted(units[group]))}, and {name} in {unit}"


def _similar(name: str, known: Collection[str]) -> str:
    folded = {each.casefold(): each for each in known}
    similar = [folded[each] for each in get_close_matches(name.casefold(), folded, n=3)]
    return f", but {' and '.join(map(repr, similar))}" if similar else ""


def proposed(site: Site, dataset: Dataset) -> list[str]:
    """Groups that are called as an endpoint and declared to be none; never taken for it without a person's word."""
    return sorted((set(dataset.tasks["group"]) & catalogue_of(site.config()).by_id.keys()) - declared(site).keys())
