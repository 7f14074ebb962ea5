"""The model that predicts: the federated one, the partner's own, or both, as the validation fold says for each kind of task.

It is written anew when one of the two has a new best round, or the choice between them is another. The federated model's best round stays
in its file even where it predicts nothing: a later choice may need it.
"""

from fedapp.config import Config
from fedapp.data.dataset import Dataset
from fedapp.evaluation.arms import FEDERATED, LOCAL
from fedapp.evaluation.combination import MEMBERS, combine
from fedapp.evaluation.scores import metrics_of, read_scores
from fedapp.model.checkpoint import load_header
from fedapp.model.members import Member, PackedMember
from fedapp.model.saved_model import model_header, read_packed, save_model
from fedapp.partner_folder import PartnerFolder
from fedapp.storage.json_file import read_sealed, write_sealed


def keep_combined(folder: PartnerFolder, dataset: Dataset, config: Config, newest: Member | None) -> None:
    """Choose between the best rounds of both models, and write what was chosen, and why, if anything is new.

    Args:
        folder: The partner's; the scores of both models lie in it and in its folder `local`.
        newest: The federated model where its round is the best so far; None where an earlier one is.
    Raises:
        RunError: A model's file is damaged, or the two were judged on different labels.
        DamagedFileError: Scores are damaged.
    """
    if newest is None and not folder.model.is_file():
        return  # somebody took it away: the next best round brings one
    own = PartnerFolder(folder.local)
    federated = newest.round if newest else round_of(folder, FEDERATED)
    rounds = {FEDERATED: federated, LOCAL: round_of(own, LOCAL)}
    if newest is None and folder.choice.is_file() and read_sealed(folder.choice, {}).get("rounds") == rounds:
        return
    combination = combine(read_scores(folder.scores), read_scores(own.scores), dataset.judged_kinds, config.evaluation.min_per_class)
    members: list[Member | PackedMember] = [newest or read_packed(folder.path, FEDERATED)]
    if any(LOCAL in MEMBERS[choice] for choice in combination.choice.values()):
        members.append(read_packed(own.path, LOCAL))
    metrics = metrics_of(combination.scores, dataset.judged_kinds, federated, config.held_out_folds())
    save_model(folder.path, members, combination.choice, model_header(dataset, config, federated, metrics))
    write_sealed(folder.choice, {"choice": combination.choice, "rounds": rounds, "validation": combination.validation})


def round_of(folder: PartnerFolder, name: str) -> int:
    """The round of one of the members of a folder's model."""
    return next(int(member["round"]) for member in load_header(folder.model)["members"] if member["name"] == name)
