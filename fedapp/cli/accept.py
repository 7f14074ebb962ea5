"""`polyphony accept`: a partner puts a dataset in play."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fedapp.cli.arguments import Json
from fedapp.cli.prepare import warn


def accept(
    site: Annotated[Path, typer.Argument(metavar="SITE", help="the partner's folder, as `polyphony kit install` made it")],
    data: Annotated[Path, typer.Argument(metavar="PREPARED", help="folder that `polyphony prepare` wrote, or a finished dataset")],
    as_json: Json = False,
) -> None:
    """Copy a dataset into the site, and allow it, and no other, in the policy."""
    from fedapp.data.losses import label_warnings
    from fedapp.site.accept import accept as put_in_play  # imports polars and RDKit: seconds that --help need not wait
    from fedapp.site.folder import Site

    dataset = put_in_play(Site.open(site), data)
    warn(label_warnings(dataset.header))
    if as_json:
        print(json.dumps(dataset.header))
        return
    print(f"accepted  {len(dataset.folds):,} compounds, {len(dataset.tasks):,} tasks, {len(dataset.labels):,} labels")
    print(f"digest    {dataset.digest}")
    print(f"lies in   {dataset.directory}")
