"""Which of the sums that a partner noted its trunk is made of."""

from strategies.update.round_sum import RoundSum, sums_that_count


def noted(number: int, clipped: int) -> RoundSum:
    return RoundSum(round=number, partners=4, clipped=clipped, largest=0.1, coordinates=14, range=0.25, rows=3, slots=0)


def test_of_a_round_that_was_taken_back_the_second_sum_counts() -> None:
    first = [noted(10, 0), noted(11, 1), noted(12, 2)]
    assert sums_that_count([*first, noted(11, 1), noted(12, 3)]) == [noted(10, 0), noted(11, 1), noted(12, 3)]
    assert sums_that_count(first) == first
