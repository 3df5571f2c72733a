"""How long one request is worked on: distributions by name, all of mean 1, which a queue stretches to its service time.

Exponential, deterministic, gamma and lognormal by their coefficient of variation, or what somebody has measured. Each
is known by its survival function and as weighted points, with which expectations are sums.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Literal, assert_never

import msgspec
import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

POINTS = 401
ALMOST_ZERO = 1e-8
"""Of a gamma distribution what is below is taken to be 0."""


class ServiceTime(msgspec.Struct, frozen=True):
    """`cv`: standard deviation over mean, of gamma and lognormal. `samples`: durations, or anything proportional to
    them, each as likely as another."""

    kind: Literal["exponential", "deterministic", "gamma", "lognormal", "samples"] = "exponential"
    cv: float = 1.0
    samples: tuple[float, ...] = ()

    @property
    def variation(self) -> float:
        """The coefficient of variation."""
        x, weights = points(self)
        return math.sqrt(max(0.0, float(weights @ (x - 1.0) ** 2)))


EXPONENTIAL = ServiceTime()


def survival(dist: ServiceTime, x: Float64) -> Float64:
    """P(longer than x), x in means."""
    from scipy.special import gammaincc, ndtr

    x = np.maximum(x, 0.0)
    match dist.kind:
        case "exponential":
            return np.asarray(np.exp(-x))
        case "deterministic":
            return np.asarray(x < 1.0, dtype=np.float64)
        case "gamma":
            shape = dist.cv**-2
            return np.asarray(gammaincc(shape, shape * x))
        case "lognormal":
            sigma = math.sqrt(math.log1p(dist.cv**2))
            with np.errstate(divide="ignore"):
                return np.asarray(ndtr(-(np.log(x) / sigma + sigma / 2)))
        case "samples":
            at, weights = points(dist)
            below = np.concatenate([[0.0], np.cumsum(weights)])
            return np.asarray(1.0 - below[np.searchsorted(at, x, side="right")])
        case _:
            assert_never(dist.kind)


@cache
def points(dist: ServiceTime) -> tuple[Float64, Float64]:
    """(values in means, their weights): for a function f of the service time, E f is the weighted sum of f. The
    trapezoidal rule over the logarithm, which for these densities errs by less than 1e-6."""
    from scipy.special import gammainc, gammainccinv, gammaincinv, gammaln

    match dist.kind:
        case "deterministic":
            return np.ones(1), np.ones(1)
        case "samples":
            at, count = np.unique(np.asarray(dist.samples, dtype=np.float64), return_counts=True)
            return at / float(np.mean(dist.samples)), count / len(dist.samples)
        case "lognormal":
            sigma = math.sqrt(math.log1p(dist.cv**2))
            z = np.linspace(-8.0, 8.0 + 2 * sigma, POINTS)
            x, weights = np.exp(sigma * z - sigma**2 / 2), np.exp(-(z**2) / 2)
            return x, weights / weights.sum()
        case "exponential" | "gamma":
            shape = dist.cv**-2 if dist.kind == "gamma" else 1.0
            least = max(float(gammaincinv(shape, 1e-14)) / shape, ALMOST_ZERO)
            u = np.linspace(math.log(least), math.log(float(gammainccinv(shape, 1e-15)) / shape), POINTS)
            x = np.exp(u)
            weights = np.exp(shape * (u + math.log(shape)) - shape * x - gammaln(shape)) * (u[1] - u[0])
            weights[[0, -1]] /= 2
            zero = float(gammainc(shape, shape * least))
            weights *= (1.0 - zero) / weights.sum()
            return np.concatenate([[0.0], x]), np.concatenate([[zero], weights])
        case _:
            assert_never(dist.kind)


def excess(dist: ServiceTime, x: Float64) -> Float64:
    """P(what is left of a service in progress is longer than x): the survival of the equilibrium distribution."""
    at, weights = points(dist)
    return np.asarray([float(weights @ np.maximum(at - value, 0.0)) for value in x.tolist()])


@cache
def first_departure(dist: ServiceTime, servers: int) -> tuple[Float64, Float64]:
    """(values in means, weights) of the time from when the last of the servers becomes busy until one is free again:
    the least of a whole service and of what is left of the others; its mean is 1/servers."""
    if servers == 1:
        return points(dist)
    edges = np.concatenate([[0.0], np.geomspace(1e-3 / servers, largest(dist, 1e-12), POINTS)])
    left = excess(dist, edges) ** (servers - 1) * survival(dist, edges)
    weights = np.maximum(left[:-1] - left[1:], 0.0)
    at = (edges[1:] + edges[:-1]) / 2
    at *= weights.sum() / (servers * float(weights @ at))
    kept = weights > 1e-15
    return at[kept], weights[kept] / weights[kept].sum()


@cache
def largest(dist: ServiceTime, share: float) -> float:
    """So long, in means, that only this share takes longer."""
    if dist.kind in ("deterministic", "samples"):
        return float(points(dist)[0].max()) * (1 + 1e-9)
    x = np.geomspace(1e-3, 1e7, 2000)
    return float(x[int(np.argmax(survival(dist, x) <= share))])
