"""The `polyphony` command: parses, calls, prints, and turns errors into exit codes.

Results go to stdout, everything else to stderr; an error is one line `error: …` and, where there is something to do, one `hint: …`.
"""

import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from fedapp.cli import (
    accept,
    audit,
    benchmark,
    certificates,
    compare,
    consortium,
    doctor,
    export,
    identity,
    kit,
    predict,
    prepare,
    price,
    privacy,
    report,
    serve,
    simulate,
    status,
    transcript,
)
from fedapp.errors import PolyphonyError, explained
from fedapp.runtime.private_memory import keep_memory_private
from fedapp.runtime.versions import versions
from fedapp.wording import shown
from strategies.secagg.errors import SecAggError

FAILED = 1
INTERRUPTED = 130
READER_LEFT = 141  # as the shell says of a program that wrote to `head` after it had seen enough

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


def tell_version(wanted: bool) -> None:
    """Print the version of Polyphony and of what its results depend on, and end."""
    if wanted:
        packages = sorted(versions().items(), key=lambda package: package[0] != "polyphony")
        print("\n".join(f"{package} {number}" for package, number in packages))
        raise typer.Exit


@app.callback()
def polyphony(
    version: Annotated[
        bool, typer.Option("--version", help="print the versions of Polyphony and what it runs on", callback=tell_version, is_eager=True)
    ] = False,
) -> None:
    """Federated multi-task bioactivity: one trunk learned together; data and heads never leave a partner."""


app.command("simulate")(simulate.simulate)
app.command("compare")(compare.compare)
app.command("audit")(audit.audit)
app.command("privacy")(privacy.privacy)
app.command("price")(price.price)
app.command("prepare")(prepare.prepare)
app.command("report")(report.report)
app.command("predict")(predict.predict)
app.command("export")(export.export)
app.command("accept")(accept.accept)
app.command("doctor")(doctor.doctor)
app.command("serve")(serve.serve)
app.command("federate")(serve.federate)
app.command("status")(status.status)
app.add_typer(identity.app, name="identity")
app.add_typer(consortium.app, name="consortium")
app.add_typer(certificates.app, name="certificates")
app.add_typer(kit.app, name="kit")
app.add_typer(transcript.app, name="transcript")
app.add_typer(benchmark.app, name="benchmark")


def main() -> None:
    """Run one verb; exits with 0, 1 (an error was named), 2 (wrong usage), 130 (interrupted) or 141 (nobody reads what it prints)."""
    signal.signal(signal.SIGTERM, interrupt)
    keep_memory_private()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # a reader that left, such as `head`, is noticed here and not while Python ends
    except PolyphonyError as error:
        fail(str(error), error.hint, error.exit_status)
    except SecAggError as error:
        fail(str(error), "")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to print goes nowhere
        sys.exit(READER_LEFT)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        known = explained(error)
        if known is None:
            raise
        fail(str(known), known.hint, known.exit_status)


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    """End on SIGTERM as on Ctrl-C, so that children are ended too."""
    raise KeyboardInterrupt


def fail(message: str, hint: str, status: int = FAILED) -> None:
    """Print an error and end; what it quotes of a file or a peer moves no cursor and makes no line of its own."""
    print(f"error: {shown(message)}", file=sys.stderr)
    if hint:
        print(f"hint: {shown(hint)}", file=sys.stderr)
    sys.exit(status)
