"""`polyphony accept`: a partner puts a dataset in play."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fedapp.cli.arguments import Json
from fedapp.cli.prepare import warn
from fedapp.wording import plural


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
    sizes = (plural(len(dataset.folds), "compound"), plural(len(dataset.tasks), "task"), plural(len(dataset.labels), "label"))
    print(f"accepted  {', '.join(sizes)}")
    print(f"digest    {dataset.digest}")
    print(f"lies in   {dataset.directory}")
