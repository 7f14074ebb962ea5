"""Every option of an experiment, declared once: type, meaning with its unit, and limits. `conf/default.yaml` gives the defaults.

The check of a configuration and the comments of `conf/default.yaml` follow from what stands here; what options must be to one
another is in `rules`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, get_args, get_type_hints

from fedapp.config.allowed import Allowed, AnyOf, OneOf, Within
from fedapp.evaluation.arms import AUC_PR, KINDS

METRICS = ("loss", AUC_PR)
ASSAYS, ENDPOINTS = "assays", "endpoints"  # that simulated partners are dealt
P_THRESHOLDS = Within(0, 16, "a threshold of concentrations is a p-value, -log10 M, whatever their unit: for 1000 nM write 6")
NO_NOISE, RECORD_DP, RECONSTRUCTION_NOISE = "none", "record_dp", "reconstruction_noise"


@dataclass(frozen=True)
class Data:
    """Whose measurements an experiment trains on."""

    tables: Annotated[Any, '"demo" (embedded); a folder of tables, whose assays are dealt out; or a list of folders, one a partner']
    partners: Annotated[int, "how many partners the assays are dealt out to in simulation; a list of tables gives it", Within(2, 1000)]
    deal: Annotated[
        str,
        "how one folder of tables is dealt out",
        OneOf({ASSAYS: "each assay to one partner", ENDPOINTS: "each endpoint's compounds over several, a chemical series to one"}),
    ]
    endpoints: Annotated[int, "that are dealt out, those with most compounds: values of tasks.group_by", Within(1, 1_000_000)]
    holders: Annotated[int, "partners that an endpoint is dealt out to, in unequal parts", Within(1, 1000)]


@dataclass(frozen=True)
class Chemistry:
    """How a structure becomes a fingerprint and finds its fold; the same at all partners."""

    radius: Annotated[int, "Morgan radius in bonds; 3 = ECFP6", Within(0, 10)]
    bits: Annotated[int, "fingerprint length", Within(64, 1 << 22)]
    max_heavy_atoms: Annotated[int, "larger molecules are rejected", Within(1, 1000)]
    folds: Annotated[int, "cross-validation folds, by scaffold", Within(3, 100)]
    fold_key_file: Annotated[str | None, "file with the consortium's secret fold key; null = a public key, for simulations"]


@dataclass(frozen=True)
class Tasks:
    """How measurements become tasks."""

    kinds: Annotated[list[str], "what tasks are made of values: classes at thresholds, the values themselves, or both", AnyOf(KINDS)]
    group_by: Annotated[
        str,
        "one group of tasks per assay, or per value of another column of assays.*, such as target_id; "
        "an assay without one is a group by itself",
    ]
    thresholds: Annotated[
        list[float], "active means p-value >= threshold; 0/1 labels ignore it, and assays.* may have thresholds of its own", P_THRESHOLDS
    ]
    min_per_class: Annotated[
        int, "quorum: a task needs this many actives and as many inactives, or twice as many exact values", Within(1, 1_000_000_000)
    ]
    catalogue: Annotated[
        str | None,
        'file with the endpoints that partners may measure in common; "groups" = every group of their tasks, in simulations; null = none',
    ]


@dataclass(frozen=True)
class Model:
    """The network between fingerprint and heads."""

    hidden: Annotated[list[int], "widths of the trunk's layers", Within(1, 1 << 20)]
    dropout: Annotated[float, "share of trunk outputs dropped in training", Within(0, 0.99)]


@dataclass(frozen=True)
class Training:
    """How a partner trains in a round."""

    batch_size: Annotated[int, "compounds", Within(1, 1 << 20)]
    local_epochs: Annotated[int, "passes over the partner's own compounds per round", Within(1, 1000)]
    learning_rate: Annotated[float, "Adam's in the first round; it falls linearly to last_learning_rate", Within(1e-9, 10)]
    last_learning_rate: Annotated[float, "Adam's in the last round", Within(0, 10)]
    weight_decay: Annotated[float, "Adam's L2 term; without it the heads overfit and probabilities are overconfident", Within(0, 10)]


@dataclass(frozen=True)
class Federation:
    """How coordinator and partners go through the rounds."""

    rounds: Annotated[int, "how often all train and their updates are added", Within(1, 100_000)]
    server_learning_rate: Annotated[float, "step from the old trunk along the mean update, momentum included", Within(1e-6, 10)]
    momentum: Annotated[float, "of earlier rounds' steps, this much goes into each next one; 0 = off", Within(0, 0.99)]
    min_partners: Annotated[int | None, "a round with fewer replies is an error; null = every partner that was asked", Within(2, 1000)]
    connect_timeout: Annotated[int, "seconds to wait for all partners to connect", Within(1, 1 << 31)]
    exchange_timeout: Annotated[
        int, "seconds to wait for replies that are ready at once; the first time connect_timeout on top", Within(1, 1 << 31)
    ]
    round_timeout: Annotated[int, "seconds to wait for replies that take training, evaluation or a whole trunk", Within(1, 1 << 31)]
    metrics_shown: Annotated[list[str], "whose mean partners let the coordinator see", AnyOf(METRICS)]
    session_rounds: Annotated[int, "rounds after which partners agree on new keys and a new row list", Within(1, 1 << 31)]
    initial_trunk: Annotated[
        str,
        "where round 1 begins",
        OneOf({"seed": "drawn from `seed`, so that simulations repeat", "group_key": "from partners' common secret"}),
    ]
    largest_weight: Annotated[
        int, "of a partner in the mean, a power of two: its labels / 10,000, rounded down to one; 1 = all alike", Within(1, 256)
    ]


@dataclass(frozen=True)
class Privacy:
    """What is done to an update before it leaves a partner."""

    row_guard: Annotated[int, "rows of bits that fewer training compounds hold stay at home; 0 = off", Within(0, 1 << 31)]
    least_supporters: Annotated[
        int,
        "partners that support a row that is sent, at least, or have a part in a shared head, there never fewer than 3; "
        "all but one of them together find the last one's",
        Within(2, 1000),
    ]
    endpoint_labels: Annotated[
        int,
        "training compounds with a label of a common endpoint, each once; a partner with fewer has no part in the shared head",
        Within(1, 1 << 31),
    ]
    word_bits: Annotated[int, "bits of a masked word", OneOf({16: "half the upload", 32: "finer steps"})]
    range: Annotated[float, "of the first round's updates; later ones follow the aggregate. A power of two", Within(2**-16, 16)]
    profile: Annotated[
        str,
        "noise in training",
        OneOf(
            {
                NO_NOISE: "without",
                RECORD_DP: "(epsilon, delta) for each compound",
                RECONSTRUCTION_NOISE: "some noise, no guarantee",
            }
        ),
    ]
    clipping_norm: Annotated[
        float, "L2 norm that one compound adds to a step's sum of gradients at most; unused without a profile", Within(1e-6, 1e6)
    ]
    noise_multiplier: Annotated[float, "standard deviation of the noise on that sum, in units of clipping_norm", Within(1e-4, 1e4)]
    epsilon: Annotated[
        float, "record_dp: what a partner may spend in this run at privacy.delta; then it trains no further", Within(1e-3, 1e6)
    ]
    delta: Annotated[
        float, "record_dp: chance that the promise of epsilon fails, far below 1 / a partner's training compounds", Within(1e-30, 1e-2)
    ]


@dataclass(frozen=True)
class Evaluation:
    """Which compounds choose and judge, and which tasks count."""

    test_fold: Annotated[
        int | None, "judged on, never chosen on (0 to chemistry.folds - 1); null = none, for a last model that learns from it too"
    ]
    validation_fold: Annotated[int, "chooses the round (0 to chemistry.folds - 1)"]
    min_per_class: Annotated[
        int, "a task counts with this many of each class, or twice as many exact values, in the test fold", Within(1, 1_000_000_000)
    ]
    unguarded: Annotated[bool, "whether `compare` tells what the row guard costs, by a whole further federation without it"]


@dataclass(frozen=True)
class Audit:
    """How `polyphony audit` and `polyphony privacy` attack and measure."""

    compounds: Annotated[int, "of each partner, half trained on and half left out", Within(4, 1_000_000_000)]
    trials: Annotated[int, "federations with the defences on, each on another half", Within(4, 10_000)]
    undefended_trials: Annotated[int, "the same with the defences off, to show that the attacks work", Within(3, 10_000)]
    epsilons: Annotated[
        list[float],
        "of `polyphony privacy`: budgets of record_dp at privacy.delta, each with the least noise that it takes",
        Within(1e-3, 1e6),
    ]


@dataclass(frozen=True)
class Config:
    """One experiment."""

    name: Annotated[str, "run folders are called after it"]
    seed: Annotated[int, "everything random derives from it", Within(0, 2**63 - 1)]
    runs: Annotated[str, "folder that receives runs/<run>/"]
    aggregation: Annotated[
        str,
        "how updates are added",
        OneOf({"secure": "the coordinator adds what it cannot read", "plain": "in the clear, for comparison only"}),
    ]
    data: Data
    chemistry: Chemistry
    tasks: Tasks
    model: Model
    training: Training
    federation: Federation
    privacy: Privacy
    evaluation: Evaluation
    audit: Audit

    def held_out_folds(self) -> dict[str, int]:
        """The folds that choose and judge, by name: `validation`, and `test` where there is one."""
        folds = {"validation": self.evaluation.validation_fold, "test": self.evaluation.test_fold}
        return {name: fold for name, fold in folds.items() if fold is not None}

    def training_folds(self) -> list[int]:
        """All folds but those that choose and judge."""
        return [fold for fold in range(self.chemistry.folds) if fold not in self.held_out_folds().values()]


@dataclass(frozen=True)
class Option:
    """What is declared of an option."""

    kind: Any
    meaning: str
    limits: Allowed | None = None

    def comment(self) -> str:
        """What `conf/default.yaml` says beside its default."""
        return f"{self.meaning} ({self.limits})" if self.limits else self.meaning

    def holds_text(self) -> bool:
        """Whether its value is text or a list of it, or may be."""
        return self.kind is Any or self.kind is str or str in get_args(self.kind)


def declared(section: type, prefix: str = "") -> Iterator[tuple[str, Option]]:
    """Dotted key and declaration of each option of a section, a dataclass."""
    for name, hint in get_type_hints(section, include_extras=True).items():
        if isinstance(hint, type) and is_dataclass(hint):
            yield from declared(hint, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", Option(*get_args(hint))


OPTIONS = dict(declared(Config))


def flatten(config: Config) -> dict[str, Any]:
    """Dotted key to value, in the order of `OPTIONS`."""
    flat: dict[str, Any] = {}
    for name, value in vars(config).items():
        flat |= {f"{name}.{option}": inner for option, inner in vars(value).items()} if is_dataclass(value) else {name: value}
    return flat
