"""`polyphony accept`: a partner puts a dataset in play, and says which of its tasks are common endpoints."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedapp.cli.arguments import Json
from fedapp.cli.prepare import warn
from fedapp.wording import plural

if TYPE_CHECKING:
    from fedapp.data.dataset import Dataset
    from fedapp.site.folder import Site

PROPOSED = 10  # groups that are named


def accept(
    site: Annotated[Path, typer.Argument(metavar="SITE", help="the partner's folder, as `polyphony kit install` made it")],
    data: Annotated[Path, typer.Argument(metavar="PREPARED", help="folder that `polyphony prepare` wrote, or a finished dataset")],
    endpoint: Annotated[
        list[str] | None,
        typer.Option(
            "--endpoint",
            metavar="GROUP[@THRESHOLD]=ENDPOINT",
            help="declare a group of tasks, or its task at one threshold, to be an endpoint of the catalogue; repeated for each. What is "
            "said replaces all that was declared before; without a word of endpoints it stays",
        ),
    ] = None,
    endpoints: Annotated[
        str | None,
        typer.Option(
            "--endpoints",
            metavar="TABLE",
            help="a table with the columns group and endpoint, and thresholds where not all tasks of a group are meant; or `matching`: "
            "every other group that is called as an endpoint; or `none`",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy a dataset into the site, and allow it, and no other, in the policy, with the endpoints that it is declared to have."""
    from fedapp.consortium.policy_file import read_policy_file
    from fedapp.data.declarations import saying
    from fedapp.data.losses import label_warnings
    from fedapp.site.accept import accept as put_in_play  # imports polars and RDKit: seconds that --help need not wait
    from fedapp.site.declared_tasks import declared_tasks
    from fedapp.site.endpoints import MATCHING, UNSAID, Wanted, altered, declared, proposed, unmatched
    from fedapp.site.folder import Site

    opened = Site.open(site)
    before = read_policy_file(opened.policy).endpoints if opened.partner else []
    dataset = put_in_play(opened, data, wanted := Wanted(tuple(endpoint or ()), endpoints))
    opened = Site.open(site)
    ended, changed = altered(opened, before)
    warn(label_warnings(dataset.header) + (unmatched(opened, dataset) if endpoints == MATCHING else []))
    if as_json:
        declarations = declared(opened)
        told = {
            "endpoints": {saying(group, each.only): each.endpoint for group, each in declarations.items()},
            "declared": [asdict(each) for each in declared_tasks(dataset, opened.config(), declarations)],
            "proposed": proposed(opened, dataset),
            "ended": ended,
            "changed": [{"from": old, "to": new} for old, new in changed.items()],
        }
        print(json.dumps(dataset.header | told))
        return
    sizes = (plural(len(dataset.folds), "compound"), plural(len(dataset.tasks), "task"), plural(len(dataset.labels), "label"))
    print(f"accepted  {', '.join(sizes)}")
    print(f"digest    {dataset.digest}")
    print(f"lies in   {dataset.directory}")
    tell_altered(ended, changed, unsaid=wanted == UNSAID)
    tell_endpoints(opened, data, dataset)


def tell_altered(ended: list[str], changed: dict[str, str], *, unsaid: bool) -> None:
    """Print which earlier declarations changed, from what to what, and which ended, and why."""
    for old, new in changed.items():
        print(f"changed   {old}")
        print(f"to        {new}")
    for sentence in ended:
        print(f"ended     {sentence}")
    if ended:
        why = "the dataset has none of these tasks" if unsaid else "what is said of endpoints replaces all that was declared before"
        print(f"ended     {plural(len(ended), 'declaration')}, since {why}")


def tell_endpoints(site: "Site", data: Path, dataset: "Dataset") -> None:
    """Print what is declared, what could be, and what others learn by it; nothing without a catalogue."""
    from fedapp.site.declared_tasks import declared_tasks, in_words
    from fedapp.site.endpoints import CONSENT, MATCHING, declared, proposed, standing

    declarations, config = declared(site), site.config()
    for line in in_words(declared_tasks(dataset, config, declarations), config):
        print(f"endpoint  {line}")
    for group in (could_be := proposed(site, dataset))[:PROPOSED]:
        print(f"proposed  {group} is called as an endpoint of the catalogue, and is declared to be none")
    if could_be:
        named = [word for group in could_be for word in ("--endpoint", f"{group}={group}")]
        more = named if len(could_be) <= PROPOSED else ["--endpoints", MATCHING]
        command = shlex.join(["polyphony", "accept", str(site.path), str(data), *standing(site), *more])
        print(f"proposed  {plural(len(could_be), 'group')} in all; this declares them beside what is declared: {command}")
    for line in CONSENT if declarations else ():
        print(f"consent   {line}")
