import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from fedapp.report.disclosure import ADVISED_GUARD, Statement, disclosure, warnings
from fedapp.report.saved_run import read_run
from strategies.update.self_audit import Audited
from tests.helpers.sealed import seal

Make = Callable[..., Path]


def disclosed(run: Path, *changes: tuple[str, str]) -> list[Statement]:
    config = (run / "config.yaml").read_text()
    for before, after in changes:
        assert before in config
        config = config.replace(before, after)
    (run / "config.yaml").write_text(config)
    return disclosure(read_run(run))


def test_plain_aggregation_is_loud_whatever_the_row_guard(synthetic: Make) -> None:
    guarded, bare = disclosed(synthetic("a", done=0, row_guard=10)), disclosed(synthetic("b", done=0))
    assert [sentence.loud for sentence in guarded] == [True, False, False]
    assert [sentence.loud for sentence in bare] == [True, False, True]
    assert "list of fingerprint bits" in guarded[0].text
    assert "list of fingerprint bits" not in bare[0].text


def test_secure_aggregation_with_a_row_guard_is_not_loud(synthetic: Make) -> None:
    assert not [sentence for sentence in disclosed(synthetic(done=0, secure=True, row_guard=3)) if sentence.loud]


def test_what_the_coordinator_may_know_is_told(synthetic: Make) -> None:
    shown = ("metrics_shown: []", "metrics_shown: [auc_pr, loss]")
    assert "the partners' mean of auc_pr and loss" in disclosed(synthetic("a", done=0, secure=True), shown)[0].text
    assert "mean of" not in disclosed(synthetic("b", done=0, secure=True))[0].text


def test_a_first_trunk_out_of_the_seed_is_no_secret_and_one_out_of_the_group_key_is(synthetic: Make) -> None:
    drawn = ("initial_trunk: seed", "initial_trunk: group_key")
    assert "was no secret" in disclosed(synthetic("a", done=0, secure=True))[0].text
    assert "was no secret" not in disclosed(synthetic("b", done=0, secure=True), drawn)[0].text


def test_partners_see_the_sum_and_count_each_bits_supporters_only_where_they_add_them_up_themselves(synthetic: Make) -> None:
    shapes = {"a": (True, 10), "b": (True, 0), "c": (False, 10)}
    seen = [disclosed(synthetic(name, done=0, secure=secure, row_guard=guard))[1] for name, (secure, guard) in shapes.items()]
    assert [sentence.title for sentence in seen] == ["Partners saw the sum of the updates, and the trunk."] * 3
    assert ["how many partners support it" in sentence.text for sentence in seen] == [True, False, False]


# Shared heads

CATALOGUED = ("tasks: {", "tasks: {catalogue: groups, ")


def with_endpoints(run: Path, **numbers: int) -> Path:
    facts = json.loads((run / "run.json").read_text())
    seal(run / "run.json", json.dumps(facts | {"common_endpoints": numbers}))
    return run


def test_with_a_catalogue_it_is_told_which_heads_were_shared_and_who_learned_what_by_it(synthetic: Make) -> None:
    run = with_endpoints(synthetic(done=0, secure=True, row_guard=20), endpoints=12, shared=4, heads=9, fewest=3, most=6)
    guard, shared = disclosed(run, CATALOGUED)[2:4]
    assert "Other rows stayed at home, with all heads but the shared ones." in guard.text
    assert shared.title == "9 heads of 4 of the catalogue's 12 endpoints were shared."
    assert shared.text.startswith("Each was held by 3 to 6 partners. By them every partner learned how many partners have labels enough")
    assert "of each shared head the mean" in shared.text and "The coordinator learned nothing of it" in shared.text
    assert not shared.loud


def test_under_plain_aggregation_the_coordinator_saw_shared_heads_too(synthetic: Make) -> None:
    run = with_endpoints(synthetic(done=0, row_guard=20), endpoints=1, shared=1, heads=1, fewest=3, most=3)
    shared = disclosed(run, CATALOGUED)[3]
    assert shared.title == "1 head of 1 of the catalogue's 1 endpoint was shared."
    assert shared.text.startswith("Each was held by 3 partners.")
    assert shared.text.endswith("The coordinator saw each partner's heads in the clear.")


def test_a_catalogue_of_which_nothing_is_shared_is_told_so(synthetic: Make) -> None:
    run = with_endpoints(synthetic(done=0, secure=True, row_guard=20), endpoints=2, shared=0, heads=0, fewest=0, most=0)
    shared = disclosed(run, CATALOGUED)[3]
    assert shared.title == "0 heads of 0 of the catalogue's 2 endpoints were shared."
    assert shared.text.startswith("No head is held by 3 partners with labels enough.")


def test_what_is_said_of_shared_heads_needs_no_numbers_and_without_a_catalogue_is_not_said(synthetic: Make) -> None:
    assert disclosed(synthetic("a", done=0, secure=True), CATALOGUED)[3].title == "Heads of common endpoints were shared."
    without = disclosed(synthetic("b", done=0, secure=True, row_guard=20))
    assert "Other rows stayed at home, with the heads." in without[2].text
    assert not any("head" in sentence.title for sentence in without)


# What the partners' own attacks named


def note_audits(run: Path, partner: str, *rows: tuple[int, str, int], shown: int = 9) -> None:
    """Lines of a self-audit: round, vector and compounds named, of 462."""
    lines = [json.dumps(asdict(Audited(number, vector, 0, shown, 9, 0, identified, 462))) for number, vector, identified in rows]
    seal(run / "partners" / partner / "self_audit.jsonl", "".join(f"{line}\n" for line in lines))


def note_found(run: Path, partner: str, *rows: tuple[str, dict[str, float]]) -> None:
    """Lines of a self-audit of one round each that name nobody: vector and what else was found."""
    lines = [asdict(Audited(number, vector, 0, 9, 9, 0, 0, 462)) | found for number, (vector, found) in enumerate(rows, 1)]
    seal(run / "partners" / partner / "self_audit.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))


def test_compounds_that_sums_and_updates_name_are_loud_at_their_worst_with_the_partner_and_the_guard(synthetic: Make) -> None:
    run = synthetic(done=0, secure=True, row_guard=3)
    note_audits(run, "Alder", (1, "sum", 2), (2, "sum", 21), (3, "sum", 5))
    note_audits(run, "Birch", (1, "own", 0), (1, "sum", 0))
    note_audits(run, "Cedar", (1, "own", 1_000), (1, "sum", 1))
    (*others, last) = disclosed(run)
    assert last.loud and not any(sentence.loud for sentence in others)
    assert last.title == "The sum names compounds that were trained on."
    assert "The row guard was 3." in last.text
    assert "Sums, which all partners hold, name 21 of 462 training compounds at Alder; 1 of 462 training compounds at Cedar." in last.text
    assert "work out, name 1,000 of 462 training compounds at Cedar." in last.text
    assert "Birch" not in last.text
    assert f"The default is privacy.row_guard={ADVISED_GUARD}: " in last.text
    assert warnings(read_run(run)) == [f"{last.title} {last.text}"]


def test_a_guard_that_is_the_default_already_is_not_advised(synthetic: Make) -> None:
    run = synthetic(done=0, secure=True, row_guard=ADVISED_GUARD)
    note_audits(run, "Alder", (1, "own", 4))
    last = disclosed(run)[-1]
    assert last.title == "Updates name compounds that were trained on."
    assert "A larger privacy.row_guard may help" in last.text


def test_self_audits_that_named_nothing_are_told_and_nobody_is_warned(synthetic: Make) -> None:
    run = synthetic(done=0, secure=True, row_guard=20)
    note_audits(run, "Alder", (1, "own", 0), (1, "sum", 0))
    assert disclosed(run)[-1].title == "The partners' self-audits named no compound."
    assert warnings(read_run(run)) == []


def test_who_was_trained_on_and_rows_that_are_seen_bare_are_loud_with_the_partner(synthetic: Make) -> None:
    run = synthetic(done=0, secure=True, row_guard=20)
    tried = {"trained": 1000, "others": 1000}
    note_found(run, "Alder", ("sum", {"auc": 0.7} | tried), ("sum", {"auc": 0.8} | tried), ("own", {"auc": 0.6} | tried))
    note_found(run, "Birch", ("row list", {"bare": 3}), ("own", {"auc": 0.9} | tried))
    note_found(run, "Cedar", ("row list", {}), ("sum", {}))
    trained, bare = (sentence for sentence in disclosed(run) if sentence.loud)
    assert trained.title == "The sum tells who was trained on."
    assert "Sums, which all partners hold, tell 80\xa0% at Alder. Single updates" in trained.text
    assert "can work out, tell 90\xa0% at Birch." in trained.text
    assert bare.title == "Partners saw rows of single partners bare."
    assert "supports 3 rows of Birch: whoever" in bare.text
    assert warnings(read_run(run)) == [f"{each.title} {each.text}" for each in (trained, bare)]


def test_a_row_list_alone_says_of_no_vector_that_it_was_attacked(synthetic: Make) -> None:
    run = synthetic(done=0, secure=True, row_guard=20)
    note_found(run, "Alder", ("row list", {}))
    assert not any("self-audit" in sentence.title for sentence in disclosed(run))


def test_damaged_lines_of_a_self_audit_are_left_out(synthetic: Make) -> None:
    run = synthetic(done=0, secure=True, row_guard=3)
    note_audits(run, "Alder", (1, "sum", 7))
    path = run / "partners" / "Alder" / "self_audit.jsonl"
    path.write_text(
        path.read_text() + '{"round": 2, "vector": "sum"}\n[]\n' + json.dumps(asdict(Audited(1, "x", 0, 4, 9, 0, 9, 9))) + '\n{"ro'
    )
    assert "name 7 of 462" in disclosed(run)[-1].text


def test_what_is_said_of_single_compounds_follows_the_noise(synthetic: Make) -> None:
    def with_profile(name: str) -> tuple[str, str]:
        return "row_guard", f"profile: {name}, epsilon: 4.0, delta: 1.0e-06, row_guard"

    noisy = disclosed(synthetic("a", done=0, secure=True, row_guard=20), with_profile("record_dp"))
    assert "epsilon 4.0 at most, at delta 1e-06" in noisy[2].text
    assert not any("no differential privacy" in sentence.text for sentence in noisy)
    weak = disclosed(synthetic("b", done=0, secure=True, row_guard=20), with_profile("reconstruction_noise"))
    assert [sentence.title for sentence in weak if sentence.loud] == ["The noise of this run guarantees nothing."]
    assert "no differential privacy" in weak[2].text


def test_it_is_said_how_many_partners_support_a_row_and_who_together_finds_one_partners(synthetic: Make) -> None:
    def with_supporters(count: int) -> tuple[str, str]:
        return "row_guard", f"least_supporters: {count}, row_guard"

    older = synthetic("a", done=0, secure=True, row_guard=20)  # its configuration has no such key: two it was
    assert "of a row that 2 support the other can find each one's" in disclosed(older)[2].text
    three = disclosed(synthetic("b", done=0, secure=True, row_guard=20), with_supporters(3))[2].text
    assert "only rows that at least 3 partners support were in the sum" in three
    assert "of a row that 3 support the others together can find each one's" in three


def test_a_run_in_which_no_row_passed_the_guard_is_said_to_be_worth_nothing(synthetic: Make) -> None:
    run = synthetic(done=0, secure=True, row_guard=5000)
    note_audits(run, "Alder", (1, "own", 0), (1, "sum", 0), shown=0)
    assert [sentence.title for sentence in disclosed(run) if sentence.loud] == ["Nothing of the first layer was learned together."]
    note_audits(run, "Birch", (1, "sum", 0), shown=1)
    assert not [sentence for sentence in disclosed(run) if sentence.loud]
