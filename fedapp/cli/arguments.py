"""What several verbs take: an experiment file with `key=value` overrides, or a run to go on with."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fedapp.config import CONF, Config, load_config
from fedapp.errors import ConfigError
from fedapp.run_folder import RunFolder, new_run_path

Experiment = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CONF] [KEY=VALUE]...",
        help="an experiment such as conf/fsmol.yaml (default: the demo; with data.tables, conf/default.yaml) and what to change in it",
    ),
]
Resume = Annotated[Path | None, typer.Option("--resume", metavar="RUN", help="go on with a run that was interrupted")]
JUDGED = ("compare", "price", "privacy")  # kinds of run that are nothing without a test fold
Json = Annotated[bool, typer.Option("--json", help="print one machine-readable result")]

Encrypt = Annotated[
    bool,
    typer.Option("--encrypt", help="under a passphrase: that in the file which POLYPHONY_PASSPHRASE_FILE names, or one that is asked for"),
]
NewPassphrase = Annotated[
    Path | None, typer.Option("--new", metavar="FILE", help="file with the new passphrase (default: it is asked for on the terminal)")
]
Remove = Annotated[bool, typer.Option("--remove", help="leave the keys in the clear")]


def read_experiment(words: list[str] | None) -> Config:
    """The configuration that CONF and KEY=VALUE words name; without CONF the demo's.

    Tables of one's own begin with `conf/default.yaml` instead: what the demo sets, its small row guard above all, is for its partners.

    Raises:
        ConfigError: More than one file, or an unusable configuration.
    """
    files = [word for word in words or [] if "=" not in word]
    overrides = tuple(word for word in words or [] if "=" in word)
    if len(files) > 1:
        raise ConfigError(f"more than one configuration file: {', '.join(files)}", "changes to the configuration are written key=value")
    own_tables = any(word.startswith("data.tables=") and word != "data.tables=demo" for word in overrides)
    unnamed = CONF / "default.yaml" if own_tables else None
    return load_config(Path(files[0]) if files else unnamed, overrides)


def open_or_create(words: list[str] | None, resume: Path | None, kind: str) -> RunFolder:
    """The run to work on.

    Raises:
        ConfigError: An unusable configuration; or a resumed run is given one again, or is of another kind.
        DamagedFileError: The configuration of a resumed run was altered.
    """
    if resume is None:
        config = read_experiment(words)
        if kind in JUDGED and config.evaluation.test_fold is None:
            raise ConfigError(f"`polyphony {kind}` judges, and evaluation.test_fold is null", "keep a fold to judge on, such as 0")
        return RunFolder.create(new_run_path(config), config, kind)
    if words:
        raise ConfigError("a resumed run keeps its configuration", f"leave out {' '.join(words)}, or start a new run")
    run = RunFolder.open(resume)
    if run.status()["kind"] != kind:
        raise ConfigError(
            f"{resume} was made by `polyphony {run.status()['kind']}`",
            f"resume it with `polyphony {run.status()['kind']} --resume {resume}`",
        )
    run.check()
    return run


def tell_cost(result: dict[str, Any]) -> None:
    """Print what a run took, and where its page lies; and, for people, what it did not protect."""
    memory = f"{result['peak_memory_bytes'] / 2**30:.1f} GiB"
    print(
        f"cost       {result['seconds']:.0f} s in all, {result['round_seconds']:.1f} s a federated round (median), {memory} memory at peak"
    )
    print(f"report     {result['report']}")
    for warning in result["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
