"""The upper tail of the chi-square distribution, computed with the incomplete gamma function."""

from __future__ import annotations

from math import exp, lgamma, log

__all__ = ["chi_square_sf"]

TERMS, PRECISE, TINY = 10_000, 1e-15, 1e-300


def chi_square_sf(x: float, degrees: int) -> float:
    """The probability that a chi-square variable of `degrees` degrees of freedom is greater than `x`.

    This is Q(degrees / 2, x / 2). For small x it uses the series of P, for large x the continued fraction of Q by
    Lentz's method (DLMF 8.11.4 and 8.9.2; https://dlmf.nist.gov/8).
    """
    if degrees < 1 or x <= 0:
        return 1.0
    a, half = degrees / 2, x / 2
    factor = exp(a * log(half) - half - lgamma(a))
    if half < a + 1:
        return max(0.0, 1 - factor * _series(a, half))
    return factor * _fraction(a, half)


def _series(a: float, x: float) -> float:
    term = total = 1 / a
    for n in range(1, TERMS):
        term *= x / (a + n)
        total += term
        if term < total * PRECISE:
            break
    return total


def _fraction(a: float, x: float) -> float:
    b = x + 1 - a
    c, d = 1 / TINY, 1 / b
    value = d
    for n in range(1, TERMS):
        step = -n * (n - a)
        b += 2
        d = 1 / (_nonzero(step * d + b))
        c = _nonzero(b + step / c)
        value *= c * d
        if abs(c * d - 1) < PRECISE:
            break
    return value


def _nonzero(value: float) -> float:
    return value if abs(value) > TINY else TINY
