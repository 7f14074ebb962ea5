import io
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from fedapp.cli.progress import RunProgress, clock

ROOT = Path(__file__).resolve().parents[2]
SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"
NAMES = ("north", "south")


def piped(total_rounds: int = 3, partners: tuple[str, ...] = NAMES) -> tuple[RunProgress, io.StringIO]:
    target = io.StringIO()
    return RunProgress(total_rounds, partners, console=Console(file=target, width=80)), target


def terminal(width: int, json: bool = False) -> tuple[RunProgress, io.StringIO]:
    target = io.StringIO()
    console = Console(file=target, width=width, height=20, force_terminal=True, color_system=None, _environ={"TERM": "xterm"})
    return RunProgress(3, NAMES, json=json, console=console), target


def test_a_round_is_one_plain_line_once_every_partner_has_trained_it() -> None:
    progress, target = piped()
    with progress:
        progress.event("federated", "north", 1, loss=0.6)
        assert target.getvalue() == ""
        progress.event("federated", "south", 1, loss=0.4)
    assert target.getvalue().splitlines() == ["federated round 1/3  loss 0.500  0:00 elapsed"]


def test_a_line_names_the_round_that_its_auc_pr_belongs_to() -> None:
    progress, target = piped(partners=("north",))
    with progress:
        progress.event("federated", "north", 1, loss=0.6)
        progress.event("federated", "north", 1, score=0.55)
        progress.event("federated", "north", 2, loss=0.5)
        progress.event("federated", "north", 3, 0.4, 0.65)
    first, second, third = target.getvalue().splitlines()
    assert "AUC-PR" not in first
    assert "validation AUC-PR 0.550 (round 1)" in second
    assert "validation AUC-PR 0.650  " in third


def test_what_is_evaluated_at_the_end_is_said_to_be_of_the_validation_fold() -> None:
    progress, target = piped(total_rounds=1, partners=("north",))
    with progress:
        progress.event("federated", "north", 1, loss=0.6)
        progress.event("federated", "north", 1, score=0.55)
    assert target.getvalue().splitlines()[-1] == "federated evaluated  validation AUC-PR 0.550"


def test_a_warning_and_what_is_told_stay_on_a_terminal_and_a_stage_makes_way_for_the_next() -> None:
    progress, target = terminal(80)
    with progress:
        progress.stage("reading")
        progress.stage("warning: half is lost")
        progress.tell("endpoint hERG: 3 of 4 partners measure it")
    kept = [line.rstrip() for line in drop_controls(target.getvalue()).splitlines()]
    assert "warning: half is lost" in kept and "endpoint hERG: 3 of 4 partners measure it" in kept
    assert "reading" not in kept


def test_a_round_that_a_partner_missed_is_told_at_the_end_with_the_number_of_partners() -> None:
    progress, target = piped()
    with progress:
        progress.event("federated", "north", 1, loss=0.6)
    assert "federated round 1/3  1 of 2 partners  loss 0.600" in target.getvalue()


def test_the_pooled_arm_has_one_member_whatever_it_is_called() -> None:
    for member in (None, "pooled"):
        progress, target = piped()
        with progress:
            progress.event("pooled", member, 1, loss=0.6, score=float("nan"))
        assert target.getvalue().startswith("pooled round 1/3  loss 0.600  0:00")


def test_partners_that_train_one_after_another_are_told_as_they_finish() -> None:
    progress, target = piped(total_rounds=2)
    with progress:
        for name in NAMES:
            for number in (1, 2):
                progress.event("local", name, number, 0.5, 0.6)
    lines = target.getvalue().splitlines()
    assert lines[0].startswith("local 1 of 2 partners")
    assert [line.split("  ")[0] for line in lines[1:]] == ["local round 1/2", "local round 2/2"]


def test_the_unguarded_arm_is_told_round_by_round_like_the_federated_one() -> None:
    progress, target = piped(total_rounds=2)
    with progress:
        for number in (1, 2):
            for name in NAMES:
                progress.event("unguarded", name, number, 0.5, 0.6)
    lines = target.getvalue().splitlines()
    assert [line.split("  ")[:2] for line in lines] == [["unguarded round 1/2", "loss 0.500"], ["unguarded round 2/2", "loss 0.500"]]


def test_the_live_table_has_a_row_for_every_arm_of_a_comparison() -> None:
    progress, target = terminal(80)
    arms = ("federated", "local", "pooled", "unguarded")
    with progress:
        for arm in arms:
            progress.event(arm, None if arm == "pooled" else "north", 1, 0.5, 0.6)
    last = [line.split()[0] for line in drop_controls(target.getvalue()).splitlines() if line.strip()][-len(arms) :]
    assert tuple(last) == arms


def test_preparation_is_told_in_ten_lines_and_stages_keep_their_brackets() -> None:
    progress, target = piped()
    with progress:
        progress.stage("preparing [/data]")
        for done in range(0, 2001, 20):
            progress.advance_preparation(done, 2000)
    lines = target.getvalue().splitlines()
    assert lines[0] == "preparing [/data]"
    assert len(lines) == 11
    assert lines[-1] == "prepared 2,000 of 2,000 structures"


def test_a_run_that_is_only_prepared_needs_neither_rounds_nor_partners() -> None:
    progress, target = piped(total_rounds=0, partners=())
    with progress:
        progress.advance_preparation(0, 0)
        progress.stage("building tasks")
    assert target.getvalue() == "building tasks\n"


@pytest.mark.parametrize("width", [24, 40, 50, 80, 120])
def test_the_live_table_fits_the_terminal(width: int) -> None:
    progress, target = terminal(width)
    with progress:
        progress.stage("starting a stage whose description is far longer than a narrow terminal is wide, as paths may be")
        progress.display.refresh()
        for number in (1, 2):
            for name in NAMES:
                progress.event("federated", name, number, 0.5, 0.6)
    plain = [line for line in drop_controls(target.getvalue()).splitlines() if line.strip()]
    assert all(len(line.rstrip()) <= width for line in plain)
    assert "federated" in plain[-1]
    assert "2/3" in plain[-1]
    assert "0.600" in plain[-1]


def test_a_wide_terminal_has_a_header_the_partners_and_the_time_left() -> None:
    progress, target = terminal(120)
    with progress:
        progress.event("federated", "north", 1, 0.5, 0.6)
    shown = drop_controls(target.getvalue())
    for header in ("arm", "round", "partners", "loss", "AUC-PR", "elapsed", "left"):
        assert header in shown
    assert "1/2" in shown


def test_json_means_plain_lines_in_a_terminal_too() -> None:
    progress, target = terminal(80, json=True)
    with progress:
        progress.stage("starting")
    assert target.getvalue() == "starting\n"


def test_an_interrupt_gives_the_cursor_back() -> None:
    progress, target = terminal(80)
    with pytest.raises(KeyboardInterrupt), progress:
        progress.event("federated", "north", 1, loss=0.5)
        raise KeyboardInterrupt
    assert target.getvalue().rindex(SHOW_CURSOR) > target.getvalue().rindex(HIDE_CURSOR)


def test_ctrl_c_in_a_real_terminal_restores_it_and_stdout_carries_only_results() -> None:
    script = (
        "import time\nfrom fedapp.cli.progress import RunProgress\nprint('result', flush=True)\n"
        "with RunProgress(3, ['a']) as progress:\n    progress.stage('waiting')\n"
        "    progress.event('federated', 'a', 1, 0.5, 0.6)\n    time.sleep(20)\n"
    )
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    deadline = time.monotonic() + 15
    while b"federated" not in shown and time.monotonic() < deadline:
        shown += os.read(ours, 4096)
    child.send_signal(signal.SIGINT)
    output, _ = child.communicate(timeout=10)
    while True:
        try:
            more = os.read(ours, 4096)
        except OSError:  # Linux: the other side is closed
            break
        if not more:
            break
        shown += more
    os.close(ours)
    assert shown.rindex(SHOW_CURSOR.encode()) > shown.rindex(HIDE_CURSOR.encode())
    assert output == b"result\n"


def test_a_clock_reads_minutes_and_hours() -> None:
    assert clock(95.4) == "1:35"
    assert clock(3700) == "1:01:40"


def drop_controls(text: str) -> str:
    """Terminal output without control sequences, each redraw on lines of its own."""
    plain, inside = "", False
    for sign in text.replace("\r", "\n"):
        if sign == "\x1b":
            inside = True
        elif inside:
            inside = not (sign.isalpha())
        else:
            plain += sign
    return plain
