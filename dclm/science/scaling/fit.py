"""Lines through scores over the logarithm of compute, and compute multipliers with their intervals.

    y = a_corpus + b · log10(FLOPs)

y is a score that rises (CORE), or the logarithm of a loss, which makes the line a power law. The compute multiplier of
a corpus over a baseline is the factor of FLOPs that the baseline needs for the same y: with a common slope it is
10^((a_corpus - a_baseline) / b) at every scale. Its interval is Fieller's, which is exact for a ratio of two normal
estimates, and has no bounds if the slope may be zero. No line is claimed to hold outside its runs: values there are
marked as extrapolated.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import fdtrc, stdtrit

from dclm.core.config import suggest
from dclm.core.errors import ConfigError

Array = npt.NDArray[np.float64]
CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True, kw_only=True)
class Observation:
    """One run."""

    corpus: str
    flops: float
    value: float
    """The score, or the logarithm of the loss."""
    seed: int | None = None
    """Runs of several corpora with the same seed are compared with each other; null: unknown."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One corpus by itself. Values that cannot be estimated are null."""

    corpus: str
    runs: int
    slope: float | None
    """Change per tenfold FLOPs; null for runs at a single amount of compute."""
    slope_low: float | None
    """Ends of the 95 % interval; null for two runs, which any line fits."""
    slope_high: float | None
    r2: float | None
    """Fraction of the variance that the line explains; null for two runs."""
    from_flops: float
    to_flops: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Multiplier:
    """A corpus against the baseline."""

    corpus: str
    value: float | None
    """The factor of FLOPs that the baseline needs for the same score. Null, like its interval, if the slope may be 0:
    then no amount of compute can compensate."""
    low: float | None
    """Ends of the 95 % interval."""
    high: float | None
    at_flops: float
    """FLOPs of the corpus's largest run; the baseline would need `value` times as many."""
    extrapolated: bool
    """Whether the baseline was not run with that many, or that few, FLOPs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scaling:
    """The complete result for some corpora."""

    baseline: str
    slope: float
    """Slope common to all corpora, per tenfold FLOPs."""
    slope_low: float
    slope_high: float
    r2: float
    """R² of the common slope with one level per corpus."""
    p_slopes_equal: float | None
    """Probability of differences as large as these between the corpora's own slopes, if they have one slope (F test);
    null if there are too few runs. Below .05, multipliers depend on the scale, and a single number misleads."""
    lines: tuple[Line, ...]
    multipliers: tuple[Multiplier, ...]


def fit_scaling(observations: Sequence[Observation], baseline: str) -> Scaling:
    """Fit all corpora that were run at two or more amounts of compute, or that share one with those.

    Raises: ConfigError if the baseline has no run, or the runs do not determine a slope and its error.
    """
    corpora = list(dict.fromkeys(o.corpus for o in observations))
    if baseline not in corpora:
        raise ConfigError(f"baseline {baseline}", "found no run of it", suggest(baseline, corpora))
    x = np.array([math.log10(o.flops) for o in observations])
    y = np.array([o.value for o in observations])
    levels = np.array([[float(o.corpus == corpus) for corpus in corpora] for o in observations])
    design = np.column_stack([levels, x])
    freedom = len(y) - design.shape[1]
    if freedom < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        what = f"found {len(y)} runs of {len(corpora)} corpora: too few to fit a level for each and a common slope"
        raise ConfigError("dclm scaling", what, "provide runs of a corpus at several sizes, or with several seeds")
    solution = np.linalg.lstsq(design, y)[0]
    rest = y - design @ solution
    covariance = float(rest @ rest) / freedom * np.linalg.inv(design.T @ design)
    slope, error = float(solution[-1]), math.sqrt(covariance[-1, -1])
    reach = float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))
    lines = [_line(corpus, x[levels[:, i] == 1], y[levels[:, i] == 1]) for i, corpus in enumerate(corpora)]
    base = corpora.index(baseline)
    multipliers = []
    for i, line in enumerate(lines):
        if i == base:
            continue
        contrast = np.zeros(len(solution))
        contrast[i], contrast[base] = 1.0, -1.0
        variances = (float(contrast @ covariance @ contrast), error**2, float(contrast @ covariance[:, -1]))
        ratio = float(contrast @ solution) / slope
        low, high = _fieller(ratio, slope, variances, reach)
        needed = 10**ratio * line.to_flops
        multipliers.append(
            Multiplier(
                corpus=corpora[i],
                value=None if low is None else 10**ratio,
                low=None if low is None else 10**low,
                high=None if high is None else 10**high,
                at_flops=line.to_flops,
                extrapolated=not lines[base].from_flops / 1.001 <= needed <= lines[base].to_flops * 1.001,
            )
        )
    return Scaling(
        baseline=baseline,
        slope=slope,
        slope_low=slope - reach * error,
        slope_high=slope + reach * error,
        r2=1 - float(rest @ rest) / float(((y - y.mean()) ** 2).sum()),
        p_slopes_equal=_equal_slopes(x, y, levels, float(rest @ rest), freedom),
        lines=tuple(lines),
        multipliers=tuple(sorted(multipliers, key=lambda m: -(m.value or 0.0))),
    )


def _line(corpus: str, x: Array, y: Array) -> Line:
    line = Line(
        corpus=corpus, runs=len(x), slope=None, slope_low=None, slope_high=None, r2=None,
        from_flops=10 ** float(x.min()), to_flops=10 ** float(x.max()),
    )  # fmt: skip
    spread = float(((x - x.mean()) ** 2).sum())
    if spread == 0:
        return line
    slope = float(((x - x.mean()) * y).sum()) / spread
    if len(x) < 3:
        return dataclasses.replace(line, slope=slope)
    rest = y - y.mean() - slope * (x - x.mean())
    reach = float(stdtrit(len(x) - 2, 0.5 + CONFIDENCE / 2)) * math.sqrt(float(rest @ rest) / (len(x) - 2) / spread)
    total = float(((y - y.mean()) ** 2).sum())
    r2 = None if total == 0 else 1 - float(rest @ rest) / total
    return dataclasses.replace(line, slope=slope, slope_low=slope - reach, slope_high=slope + reach, r2=r2)


def _fieller(
    ratio: float, slope: float, variances: tuple[float, float, float], reach: float
) -> tuple[float | None, float | None]:
    """The interval of a ratio of estimates; (None, None) if the denominator may be zero.

    `variances`: of the numerator, of the denominator, and their covariance.
    """
    above, below, both = variances
    g = reach**2 * below / slope**2
    if g >= 1:
        return None, None
    middle = ratio - g * both / below if below > 0 else ratio
    inside = above - 2 * ratio * both + ratio**2 * below - g * (above - (both**2 / below if below > 0 else 0.0))
    half = reach / abs(slope) * math.sqrt(max(inside, 0.0))
    return (middle - half) / (1 - g), (middle + half) / (1 - g)


def _equal_slopes(x: Array, y: Array, levels: Array, squares: float, freedom: int) -> float | None:
    """The F test of one slope against separate slopes for corpora with several amounts of compute."""
    own = [i for i in range(levels.shape[1]) if len(np.unique(x[levels[:, i] == 1].round(6))) > 1]
    if len(own) < 2:
        return None
    design = np.column_stack([levels, *(levels[:, i] * x for i in own)])
    left = len(y) - int(np.linalg.matrix_rank(design))
    if left < 1:
        return None
    rest = y - design @ np.linalg.lstsq(design, y)[0]
    more = freedom - left
    explained = (squares - float(rest @ rest)) / more
    return float(fdtrc(more, left, max(explained, 0.0) / max(float(rest @ rest) / left, 1e-300)))
