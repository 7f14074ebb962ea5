"""`polyphony benchmark`: what the parts cost on this machine."""

import json
from functools import partial
from typing import Annotated, Any

import typer

from fedapp.cli.arguments import Experiment, Json, read_experiment
from fedapp.cli.progress import RunProgress
from fedapp.wording import plural
from simulation.results.provenance import Provenance

INEXACT = 1

app = typer.Typer(no_args_is_help=True, help="What the parts cost on this machine.")


@app.callback()
def benchmark() -> None:
    """Without a callback, an only verb would be left out of the command line."""


@app.command("secagg")
def secagg(
    partners: Annotated[int, typer.Option(help="partners in the session")] = 10,
    words: Annotated[int, typer.Option(help="length of an update")] = 1_000_000,
    drop: Annotated[float, typer.Option(help="share of the partners that fall silent when asked to mask")] = 0.1,
    word_bits: Annotated[int, typer.Option(help="32 or 16")] = 32,
    threads: Annotated[int, typer.Option(help="of each party, for the masks")] = 1,
    stock: Annotated[bool, typer.Option(help="also run Flower's SecAgg+, which takes many minutes with hundreds of partners")] = True,
    as_json: Json = False,
) -> None:
    """Aggregate one round securely, in this process; compare with the bare cipher and with Flower's SecAgg+; exit 1 if the sum is wrong."""
    from simulation.benchmarks.secagg import BenchmarkSetting, measure  # imports flwr: seconds that --help need not wait

    provenance = Provenance.begin()
    figures = measure(BenchmarkSetting(partners, words, drop, word_bits, threads), stock)
    if as_json:
        print(json.dumps(provenance.joined_to(figures)))
    else:
        tell(figures)
    if not figures["exact"]:
        raise typer.Exit(INEXACT)


@app.command("round")
def benchmark_round(
    experiment: Experiment = None,
    rounds: Annotated[int, typer.Option(help="rounds of each run; the first is not counted")] = 4,
    as_json: Json = False,
) -> None:
    """Time whole rounds of an experiment in Flower's simulation, secure against plain; and what a round costs a partner, by part."""
    from simulation.benchmarks.round import measure_round  # imports flwr: seconds that --help need not wait

    provenance = Provenance.begin()
    config = read_experiment(experiment)
    with RunProgress(0, [], as_json) as progress:
        figures = measure_round(config, rounds, progress)
    if as_json:
        print(json.dumps(provenance.joined_to(figures)))
        return
    print(f"{config.name}, {plural(figures['partners'], 'partner')}, {plural(figures['rounds'], 'round')} each (median)")
    print(f"{'plain':<17}{figures['plain_s']:>9.3f} s a round")
    spread = f"{figures['ratios'][0]:.3f} to {figures['ratios'][-1]:.3f} in {len(figures['ratios'])} pairs of runs"
    print(f"{'secure':<17}{figures['secure_s']:>9.3f} s a round   {figures['ratio']:.3f} x plain ({spread})")
    parts = ", ".join(f"{part.replace('_', ' ')} {seconds:.3f}" for part, seconds in figures["partner_core_s"].items())
    print(f"{'partner, fixed':<17}{figures['partner_fixed_core_s']:>9.3f} processor seconds a round, less the training of: {parts}")


@app.command("training")
def benchmark_training(
    repeats: Annotated[int, typer.Option(min=1, help="epochs of each design and size that count")] = 3,
    as_json: Json = False,
) -> None:
    """Train on made-up compounds, at two sizes; compare with a faithful rendering of SparseChem's design; on the GPU where there is one."""
    from simulation.benchmarks.training import measure_sizes  # imports torch: seconds that --help need not wait

    provenance = Provenance.begin()
    sizes = measure_sizes(repeats)
    if as_json:
        print(json.dumps(provenance.joined_to(sizes[0] | {"sizes": sizes})))
        return
    print(f"{sizes[0]['device']}, threads: {sizes[0]['threads']}; an epoch of each, medians")
    for figures in sizes:
        spread = f"{figures['speedups'][0]:.1f} to {figures['speedups'][-1]:.1f}"
        print(
            f"hidden {figures['hidden']:,}, batches of {figures['batch']:,}: {figures['epoch_s']:.2f} s, "
            f"{figures['labels_per_s']:,} labels a second, {figures['peak_memory_gb']:.2f} GB; "
            f"SparseChem's design {figures['reference_epoch_s']:.2f} s: {figures['speedup']:.1f} x faster ({spread})"
        )


@app.command("metrics")
def benchmark_metrics(
    tasks: Annotated[int, typer.Option(min=1, help="tasks that are judged")] = 10_000,
    repeats: Annotated[int, typer.Option(min=1, help="times that each way counts")] = 3,
    as_json: Json = False,
) -> None:
    """Compute AUC-PR, AUC-ROC and log loss of many tasks at once; compare with scikit-learn task after task."""
    from simulation.benchmarks.metrics import measure_metrics

    provenance = Provenance.begin()
    figures = measure_metrics(tasks, repeats)
    if as_json:
        print(json.dumps(provenance.joined_to(figures)))
        return
    print(f"{plural(figures['tasks'], 'task')} with {plural(figures['labels'], 'label')}: {figures['seconds']:.3f} s")
    spread = f"{figures['speedups'][0]:.0f} to {figures['speedups'][-1]:.0f}"
    print(f"scikit-learn, task after task: {figures['reference_seconds']:.1f} s, {figures['speedup']:.0f} x as long ({spread})")
    print(f"largest difference: {figures['difference']:.1e}")


def tell(figures: dict[str, Any]) -> None:
    """Print a table: what one partner and the coordinator spend on a round, and beside it what that is measured against."""
    exact = "exact" if figures["exact"] else "WRONG"
    print(
        f"{plural(figures['partners'], 'partner')}, {figures['dropped']} dropped, {plural(figures['words'], 'word')}, "
        f"threads: {figures['threads']}; the sum is {exact}"
    )
    against = partial(beside_stock, figures) if figures["stock_words"] else lambda _: ""
    before = {key: f"version 1's law: {seconds:.3f} s" for key, seconds in figures["version_1"].items() if key != "law"}
    speedup = f", {figures['coordinator_speedup']:.1f} x faster" if figures["coordinator_speedup"] is not None else ""
    rows = [
        ("partner, mask", "partner_mask_s", f"{figures['mask_ratio']:.2f} x the floor of {figures['mask_floor_s']:.3f} s"),
        ("partner, share", "partner_share_s", before["partner_share_s"]),
        ("partner, both", "", against("partner")),
        ("partner, answers", "partner_answer_s", before["partner_answer_s"]),
        ("partner, unmask", "partner_unmask_s", ""),
        ("partner, set-up", "set_up_s", f"once a session; {before['set_up_s']}"),
        ("coordinator", "coordinator_s", "; ".join(filter(None, (before["coordinator_s"], against("coordinator") + speedup)))),
    ]
    for label, key, beside in rows:
        seconds = figures[key] if key else figures["partner_mask_s"] + figures["partner_share_s"]
        print(f"{label:<17}{seconds:>9.3f} s   {beside}".rstrip())
    for label, key in (("upload", "upload_bytes"), ("answers", "answer_bytes"), ("download", "download_bytes")):
        print(f"{label:<17}{figures[key]:>13,} bytes   {figures[key] / figures['float32_bytes']:.3f} x float32")
    print(f"{'exchanges':<17}{figures['exchanges_per_round']:>9} a round")


def beside_stock(figures: dict[str, Any], party: str) -> str:
    """What Flower's SecAgg+ took of a party."""
    words = "" if figures["stock_words"] == figures["words"] else f" of {plural(figures['stock_words'], 'word')}"
    return f"stock SecAgg+{words}: {figures[f'stock_{party}_s']:.3f} s"
