"""Work on all processors: one thread each, and an end at once when it is interrupted."""

import time

import pytest
import torch

from simulation.processes import processes


def test_every_process_computes_with_a_single_thread_and_this_one_has_its_own_back_afterwards() -> None:
    before = torch.get_num_threads()
    with processes() as workers:
        assert torch.get_num_threads() == 1
        assert workers.submit(torch.get_num_threads).result() == 1
    assert torch.get_num_threads() == before


def test_an_interrupt_does_not_wait_for_the_work_that_goes_on() -> None:
    with pytest.raises(KeyboardInterrupt), processes() as workers:  # noqa: PT012
        working = workers.submit(time.sleep, 600)
        while not working.running():
            time.sleep(0.05)
        raise KeyboardInterrupt
    assert isinstance(working.exception(timeout=60), Exception)
