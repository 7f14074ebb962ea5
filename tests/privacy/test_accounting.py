"""The accountant, against an analytic formula, an integral of the Rényi divergence, and a numerical privacy-loss distribution."""

from math import exp, inf, log, sqrt

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from fedapp.privacy.accounting import ORDERS, NoiseEvent, epsilon, repeats

SAMPLED = [(1.0, 0.1, 100), (0.8, 0.02, 500), (2.0, 0.01, 2000), (0.6, 0.3, 20), (4.0, 0.5, 60)]


def gaussian_epsilon(sigma: float, delta: float) -> float:
    """Exact for one Gaussian mechanism of sensitivity 1 (Balle and Wang, ICML 2018, theorem 8)."""

    def excess(value: float) -> float:
        left, right = stats.norm.logcdf([0.5 / sigma - value * sigma, -0.5 / sigma - value * sigma])
        return exp(left) - exp(value + right) - delta

    return float(optimize.brentq(excess, 0.0, 500.0))


def renyi_divergence(sigma: float, rate: float, order: float, added: bool) -> float:
    """Of the sampled Gaussian from the Gaussian without the record, or (not `added`) the other way round, by quadrature."""

    centre = order if added else 1 - order  # where the integrand peaks without sampling
    value = np.linspace(min(centre, 0) - 14 * sigma, max(centre, 1) + 14 * sigma, 20_001)  # the trapezoid rule is all but exact here
    without = stats.norm.logpdf(value, 0.0, sigma)
    mixed = np.logaddexp(log(1 - rate) + without, log(rate) + stats.norm.logpdf(value, 1.0, sigma))
    above, below = (mixed, without) if added else (without, mixed)
    with np.errstate(over="ignore"):  # an infinite order is none of the best
        return log(integrate.trapezoid(np.exp(order * above + (1 - order) * below), value)) / (order - 1)


def renyi_epsilon(sigma: float, rate: float, steps: int, delta: float) -> float:
    """Conversion of Canonne, Kamath and Steinke (NeurIPS 2020, proposition 12), the best order of the accountant's."""
    best = inf
    for order in ORDERS[:40]:  # the best is among them at these noises
        rho = steps * max(renyi_divergence(sigma, rate, order, added) for added in (True, False))
        best = min(best, rho + log((order - 1) / order) - (log(delta) + log(order)) / (order - 1))
    return best


def numerical_epsilon(sigma: float, rate: float, steps: int, delta: float, step: float = 2e-3, width: float = 80.0) -> float:
    """Privacy losses on a grid, convolved by FFT (Koskela et al., AISTATS 2020); for the worse of adding and removing a record."""
    size = 2 * int(width / step)
    losses = (np.arange(size) - size // 2) * step

    def loss_below(value: np.ndarray) -> np.ndarray:
        """Where log(mixed / without) is `value`; minus infinity where it never is that low."""
        inside = np.exp(value) - (1 - rate)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(inside > 0, sigma**2 * np.log(inside / rate) + 0.5, -inf)

    edges = np.append(losses, losses[-1] + step) - step / 2
    worst = 0.0
    for added in (True, False):
        points = loss_below(edges) if added else loss_below(-edges)[::-1]
        cdf = stats.norm.cdf(points, 0, sigma)
        if added:
            cdf = (1 - rate) * cdf + rate * stats.norm.cdf(points, 1, sigma)
        mass = np.diff(cdf) if added else np.diff(cdf)[::-1]
        total = np.fft.fftshift(np.fft.irfft(np.fft.rfft(np.fft.ifftshift(mass)) ** steps, size))
        root = optimize.brentq(lambda e, t=total: t[losses > e] @ -np.expm1(e - losses[losses > e]) - delta, 0, width / 2)
        worst = max(worst, float(root))
    return worst


@pytest.mark.parametrize(("sigma", "steps"), [(1.0, 1), (0.7, 1), (5.0, 1), (8.0, 60), (20.0, 100)])
@pytest.mark.parametrize("delta", [1e-5, 1e-8])
def test_without_sampling_it_is_just_above_the_exact_gaussian_mechanism(sigma: float, steps: int, delta: float) -> None:
    exact = gaussian_epsilon(sigma / sqrt(steps), delta)
    assert exact <= epsilon([NoiseEvent(sigma, 1.0, steps)], delta) <= 1.12 * exact


@pytest.mark.parametrize(("sigma", "rate", "steps"), SAMPLED)
def test_with_sampling_it_is_the_integral_of_the_renyi_divergence(sigma: float, rate: float, steps: int) -> None:
    assert epsilon([NoiseEvent(sigma, rate, steps)], 1e-6) == pytest.approx(renyi_epsilon(sigma, rate, steps, 1e-6), rel=1e-6)


@pytest.mark.parametrize(("sigma", "rate", "steps"), SAMPLED)
def test_with_sampling_it_is_above_the_numerical_privacy_loss_and_not_far(sigma: float, rate: float, steps: int) -> None:
    exact = numerical_epsilon(sigma, rate, steps, 1e-6)
    assert exact <= epsilon([NoiseEvent(sigma, rate, steps)], 1e-6) <= 1.2 * exact


def test_the_numerical_privacy_loss_is_right_where_a_formula_is_known() -> None:
    assert numerical_epsilon(10.0, 1 - 1e-12, 50, 1e-6) == pytest.approx(gaussian_epsilon(10 / sqrt(50), 1e-6), rel=1e-3)


def test_events_add_up_whatever_their_order_and_grouping() -> None:
    rows, round_ = NoiseEvent(5.0), NoiseEvent(1.0, 0.05, 20)
    together = epsilon([rows, NoiseEvent(1.0, 0.05, 60)], 1e-6)
    assert epsilon([round_, rows, round_, round_], 1e-6) == pytest.approx(together, rel=1e-12)
    assert together > epsilon([NoiseEvent(1.0, 0.05, 60)], 1e-6)


def test_nothing_costs_nothing_and_less_noise_costs_more() -> None:
    assert epsilon([], 1e-6) == 0.0
    costs = [epsilon([NoiseEvent(noise, 0.1, 50)], 1e-6) for noise in (4.0, 2.0, 1.0, 0.5)]
    assert costs == sorted(costs)


@pytest.mark.parametrize("before", [[], [NoiseEvent(5.0), NoiseEvent(1.0, 0.02, 300)]])
def test_the_repeats_that_fit_do_fit_and_one_more_does_not(before: list[NoiseEvent]) -> None:
    event = NoiseEvent(1.0, 0.02, 50)
    times = repeats(before, event, 4.0, 1e-6)
    assert times > 0
    assert epsilon([*before, *([event] * times)], 1e-6) <= 4.0 < epsilon([*before, *([event] * (times + 1))], 1e-6)
    assert repeats(before, event, 0.001, 1e-6) == 0


@pytest.mark.parametrize("values", [(0.0, 0.5, 1), (1.0, 0.0, 1), (1.0, 1.1, 1), (1.0, 0.5, 0), (float("nan"), 0.5, 1)])
def test_what_is_no_event_is_refused(values: tuple[float, float, int]) -> None:
    with pytest.raises(ValueError, match="is no event"):
        NoiseEvent(*values)
