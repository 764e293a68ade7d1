"""Maximum likelihood for GARCH(1,1), GJR-GARCH(1,1,1) and EGARCH(1,1,1), guarded against bad optima.

Returns are in percent. With e_t = r_t - mu and z_t = e_t / sqrt(h_t):

- garch:  h_{t+1} = omega + alpha e_t^2 + beta h_t
- gjr:    h_{t+1} = omega + (alpha + gamma 1[e_t < 0]) e_t^2 + beta h_t
- egarch: ln h_{t+1} = omega + alpha (|z_t| - sqrt(2/pi)) + gamma z_t + beta ln h_t, alpha >= 0

Sources: Bollerslev (1986, 1987), Glosten, Jagannathan and Runkle (1993), Nelson (1991). The recursions are the compiled
ones of `arch`; the likelihood is written here because it then takes a quarter of the time, which pays for several
starting values. The names are those of `arch`: `resids` are e_t, `sigma2` h_t, `backcast` is the variance before h_1.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np

Kind = Literal["garch", "gjr", "egarch"]
Distribution = Literal["t", "normal"]

COEFFICIENTS: dict[Kind, tuple[str, ...]] = {
    "garch": ("omega", "alpha", "beta"),
    "gjr": ("omega", "alpha", "gamma", "beta"),
    "egarch": ("omega", "alpha", "gamma", "beta"),
}
MAX_PERSISTENCE = 0.9999
# Log-likelihood per return that a fit may lie below the same window's GARCH. gjr contains garch, so only the
# optimiser's slack is left; a sound egarch lies within this, a spurious optimum far beyond.
WORSE_THAN_GARCH: dict[Kind, float] = {"gjr": 1e-4, "egarch": 0.02}
# Only egarch has local maxima close to each other.
STARTS: dict[Kind, int] = {"garch": 1, "gjr": 1, "egarch": 2}
ATTEMPTS = 8
# Typical sizes, so that one finite-difference step suits every parameter.
_SCALE = {"mu": 0.05, "omega": 0.02, "alpha": 0.05, "gamma": 0.1, "beta": 0.05, "nu": 5.0}
_EGARCH_SCALE = _SCALE | {"alpha": 0.1, "beta": 0.02}
_STEP = 1e-6
_VARIANCE_RANGE = (1e-6, 1e8)
# A fit has degenerated where its variances do not explain the last returns: mean of e^2 / h outside these.
EXPLAINED_DAYS = 250
EXPLAINED = (0.5, 2.0)
# A jump, such as a devaluation, is no fault of the fit: of one day no more counts.
MOST_OF_A_DAY = 50.0
# Or where a volatility is so many times the window's, or less than that part of it. In 2008 a sound one of the S&P 500
# reached 4.7 times, in variance 22. The window's is that of returns with the largest hundredth cut down to the next.
FARTHEST_VOLATILITY = 20.0
USUAL_SHARE = 0.99


@dataclass(frozen=True)
class Estimate:
    """A maximum of the likelihood, or its fallback.

    Attributes
    ----------
    kind : str
        Recursion of the `params`; after a fallback another than the requested one.
    params : dict
        mu, the coefficients and, for Student-t, nu; percent units.
    backcast : float
        Variance before the first return, percent squared.
    message : str
        What was refused and what was done about it; empty otherwise.
    """

    kind: Kind
    params: dict[str, float]
    log_likelihood: float
    backcast: float
    converged: bool = True
    message: str = ""

    @property
    def persistence(self) -> float:
        """Share of a variance shock (for egarch: of its log) that is left a day later."""
        return persistence(self.kind, self.params)


def persistence(kind: Kind, params: dict[str, float]) -> float:
    """Return alpha + gamma/2 + beta, for egarch beta."""
    return params["beta"] if kind == "egarch" else params["alpha"] + params.get("gamma", 0.0) / 2 + params["beta"]


def initial_variance(resids: np.ndarray) -> float:
    """Return the backcast: the mean of the first 75 squared residuals with weights .94^i."""
    head = resids[:75] ** 2
    weights = 0.94 ** np.arange(len(head))
    return float((head * weights).sum() / weights.sum())


def conditional_variance(kind: Kind, params: dict[str, float], resids: np.ndarray, backcast: float) -> np.ndarray:
    """Return h_1 .. h_{n+1}, percent squared, from residuals e_1 .. e_n in percent.

    Entry i is built from residuals strictly before i, so entry n is the variance of the day after the last residual.
    The backcast stands for e^2 and h before the first.
    """
    return _recursion(kind, np.array([params[name] for name in COEFFICIENTS[kind]]), resids, backcast)


def _recursion(kind: Kind, coefficients: np.ndarray, resids: np.ndarray, backcast: float) -> np.ndarray:
    compiled = _compiled_recursions()
    size = len(resids) + 1
    # The last variance is a function of the residuals before it: the added one is never read.
    padded = np.append(resids, 0.0)
    sigma2 = np.empty(size)
    bounds = np.empty((size, 2))
    bounds[:] = _VARIANCE_RANGE
    if kind == "egarch":
        work = np.empty((3, size))
        compiled.egarch_recursion(coefficients, padded, sigma2, 1, 1, 1, size, np.log(backcast), bounds, *work)
    else:
        asymmetric = int(kind == "gjr")
        signs = np.sign(padded)
        compiled.garch_recursion(coefficients, padded**2, signs, sigma2, 1, asymmetric, 1, size, backcast, bounds)
    return sigma2


@cache
def _compiled_recursions() -> Any:
    """Return arch's compiled module from its file: its package would load matplotlib, statsmodels and numba too."""
    name, package = "arch.univariate.recursions", find_spec("arch")
    folders = (package.submodule_search_locations if package else None) or []
    spec = PathFinder.find_spec(name, [str(Path(folder, "univariate")) for folder in folders])
    if name in sys.modules or spec is None or spec.loader is None:
        return import_module(name)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def log_likelihood(
    kind: Kind, distribution: Distribution, theta: np.ndarray, returns: np.ndarray, backcast: float
) -> float:
    """Return the log-likelihood of theta = (mu, coefficients, nu where Student-t), returns in percent."""
    from scipy.special import gammaln

    resids = returns - theta[0]
    coefficients = np.ascontiguousarray(theta[1 : 1 + len(COEFFICIENTS[kind])])
    sigma2 = _recursion(kind, coefficients, resids, backcast)[:-1]
    squared = resids**2 / sigma2
    logs = np.log(sigma2).sum()
    n = len(returns)
    if distribution == "normal":
        return float(-0.5 * (n * np.log(2 * np.pi) + logs + squared.sum()))
    nu = theta[-1]
    constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(np.pi * (nu - 2))
    return float(n * constant - 0.5 * logs - (nu + 1) / 2 * np.log1p(squared / (nu - 2)).sum())


def refusal(kind: Kind, params: dict[str, float], likelihood: float, n: int, reference: float | None) -> str:
    """Return why an optimum on `n` returns is refused, or an empty text; `reference` is the GARCH's log-likelihood."""
    if not np.isfinite([likelihood, *params.values()]).all():
        return "not finite"
    if abs(params["beta"]) >= 1:
        return f"|beta| = {abs(params['beta']):.4f} >= 1"
    # The optimiser meets its constraint to about 1e-9 only.
    if persistence(kind, params) > MAX_PERSISTENCE + 1e-6:
        return f"persistence {persistence(kind, params):.4f} > {MAX_PERSISTENCE}"
    if reference is not None and likelihood < reference - WORSE_THAN_GARCH[kind] * n:
        return f"log-likelihood {reference - likelihood:,.0f} below GARCH's"
    return ""


def log_drift(params: dict[str, float], returns: np.ndarray, sigma2: np.ndarray, longest: int) -> list[float]:
    """Return d_1 .. d_longest with E h_{t+k} = exp(d_k + beta^(k-1) ln h_{t+1}) of an egarch under resampled returns.

    ln h_{t+k} = omega (1 + .. + beta^(k-2)) + sum_j beta^j g(z_{t+k-1-j}) + beta^(k-1) ln h_{t+1} with
    g(z) = alpha (|z| - sqrt(2/pi)) + gamma z, so each draw contributes the sample mean of exp(beta^j g).

    Parameters
    ----------
    returns, sigma2 : ndarray, shape (n,)
        Of the training window, percent and percent squared.
    """
    z = (returns - params["mu"]) / np.sqrt(sigma2)
    omega, alpha, gamma, beta = (params[name] for name in COEFFICIENTS["egarch"])
    news = alpha * (np.abs(z) - np.sqrt(2 / np.pi)) + gamma * z
    steps = [omega * beta**j + float(np.log(np.exp(beta**j * news).mean())) for j in range(longest - 1)]
    return np.cumsum([0.0, *steps]).tolist()


def degeneration(kind: Kind, params: dict[str, float], returns: np.ndarray, backcast: float, longest: int = 1) -> str:
    """Return how the variances contradict the returns that they are to explain, or an empty text.

    Prices of few ticks have a likelihood without bound: it rises as the variance of the days without a move falls.
    The optimiser then ends on its constraints and reports success. Bollerslev's variances explain their returns, so
    that e^2 / h is 1 on average; `EXPLAINED` and `FARTHEST_VOLATILITY` leave room for crises.

    Parameters
    ----------
    returns : ndarray, shape (n,)
        Percent, those of the fit.
    backcast : float
        As in `conditional_variance`.
    longest : int
        Sessions ahead whose expected variances are judged too; those of garch and gjr stay between h and its mean.
    """
    resids = returns - params["mu"]
    variances = conditional_variance(kind, params, resids, backcast)
    sigma2 = variances[-EXPLAINED_DAYS - 1 :]
    explained = float(np.minimum(resids[-EXPLAINED_DAYS:] ** 2 / sigma2[:-1], MOST_OF_A_DAY).mean())
    if not EXPLAINED[0] <= explained <= EXPLAINED[1]:
        return f"degenerate: squared returns are {explained:.3g} times their variances over {EXPLAINED_DAYS} days"
    usual = np.minimum(resids**2, np.quantile(resids**2, USUAL_SHARE)).mean()
    ahead = [np.log(sigma2)]
    if kind == "egarch":
        drift = log_drift(params, returns, variances[:-1], longest)
        ahead = [d + params["beta"] ** k * ahead[0] for k, d in enumerate(drift)]
    ratios = np.exp((np.array(ahead) - np.log(usual)) / 2)
    for ratio in (float(ratios.min()), float(ratios.max())):
        if not 1 / FARTHEST_VOLATILITY <= ratio <= FARTHEST_VOLATILITY:
            return f"degenerate: a volatility of {ratio:.3g} times the window's"
    return ""


def estimate(kind: Kind, returns: np.ndarray, distribution: Distribution = "t", longest: int = 1) -> Estimate:
    """Return the best acceptable maximum, cold, from several starting values.

    The optimiser starts from the `STARTS` most likely points of a grid, and from the next ones, up to `ATTEMPTS`, while
    no optimum is acceptable. If none is, gjr and egarch take the GARCH of the same window, and garch an exponential
    mean (alpha .06, beta .94); `converged` is then False and `message` says so.

    Parameters
    ----------
    kind : {"garch", "gjr", "egarch"}
    returns : ndarray, shape (n,)
        Percent, finite, not constant.
    longest : int
        Sessions ahead that will be forecast, for `degeneration`.
    """
    reference = None if kind == "garch" else estimate("garch", returns, distribution)
    limit = reference.log_likelihood if reference is not None and reference.converged else None
    names = ("mu", *COEFFICIENTS[kind], *(("nu",) if distribution == "t" else ()))
    backcast = initial_variance(returns - returns.mean())
    accepted: list[tuple[float, dict[str, float]]] = []
    refused: list[str] = []
    for attempt, first in enumerate(_starting_values(kind, distribution, returns, backcast)):
        if attempt >= STARTS[kind] and accepted:
            break
        theta, success, reason = _maximise(kind, distribution, returns, backcast, first)
        params = dict(zip(names, theta.tolist(), strict=True))
        likelihood = log_likelihood(kind, distribution, theta, returns, backcast)
        reason = refusal(kind, params, likelihood, len(returns), limit) or ("" if success else reason)
        reason = reason or degeneration(kind, params, returns, backcast, longest)
        if reason:
            refused.append(reason)
        else:
            accepted.append((likelihood, params))
    tried = len(refused) + len(accepted)
    message = f"{len(refused)} of {tried} starting values refused: {'; '.join(dict.fromkeys(refused))}"
    if accepted:
        likelihood, params = max(accepted, key=lambda pair: pair[0])
        return Estimate(kind, params, likelihood, backcast, message=message if refused else "")
    if reference is not None:
        message = f"{message}. The GARCH of the same window stands in. {reference.message}".strip()
        return Estimate("garch", reference.params, reference.log_likelihood, backcast, False, message)
    return _exponential_mean(returns, distribution, backcast, f"{message}. An exponential mean of .94 stands in.")


def _exponential_mean(returns: np.ndarray, distribution: Distribution, backcast: float, message: str) -> Estimate:
    params = {"mu": float(returns.mean()), "omega": 0.0, "alpha": 0.06, "beta": 0.94}
    if distribution == "t":
        params["nu"] = 8.0
    likelihood = log_likelihood("garch", distribution, np.array(list(params.values())), returns, backcast)
    return Estimate("garch", params, likelihood, backcast, False, message)


def _starting_values(kind: Kind, distribution: Distribution, returns: np.ndarray, backcast: float) -> list[np.ndarray]:
    """Return up to `ATTEMPTS` points of a fixed grid, the most likely first."""
    variance, mean = returns.var(), returns.mean()
    grid: list[list[float]] = []
    for keep, alpha, gamma in product((0.9, 0.97, 0.99), (0.03, 0.08, 0.15), (0.05, 0.15)):
        if kind == "egarch":
            grid.append([mean, (1 - keep) * np.log(variance), 1.5 * alpha, -gamma, keep])
        elif kind == "gjr":
            grid.append([mean, variance * (1 - keep), alpha / 2, gamma, keep - alpha / 2 - gamma / 2])
        elif gamma == 0.05:
            grid.append([mean, variance * (1 - keep), alpha, keep - alpha])
    points = [np.array([*point, 8.0] if distribution == "t" else point) for point in grid]
    return sorted(points, key=lambda theta: -log_likelihood(kind, distribution, theta, returns, backcast))[:ATTEMPTS]


def _limits(kind: Kind, distribution: Distribution, returns: np.ndarray) -> list[tuple[float, float]]:
    variance = float(returns.var())
    mean = 10 * abs(float(returns.mean())) + 0.1 * variance**0.5
    tail = [(2.05, 500.0)] if distribution == "t" else []
    if kind == "egarch":
        level = 2.0 + 0.5 * abs(float(np.log(variance)))
        # With alpha < 0 a small variance makes the next one smaller still: the likelihood turns jagged and its maxima
        # are spurious, thousands of units apart.
        return [(-mean, mean), (-level, level), (0.0, 1.0), (-1.0, 1.0), (0.0, MAX_PERSISTENCE), *tail]
    gamma = [(-1.0, 2.0)] if kind == "gjr" else []
    return [(-mean, mean), (1e-6 * variance, 10 * variance), (0.0, 1.0), *gamma, (0.0, 1.0), *tail]


def _constraints(kind: Kind, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (A, b) of A theta + b >= 0: stationarity, and for gjr no negative weight on a squared loss."""
    if kind == "egarch":
        return np.empty((0, size)), np.empty(0)
    if kind == "garch":
        return np.array([[0.0, 0.0, -1.0, -1.0] + [0.0] * (size - 4)]), np.array([MAX_PERSISTENCE])
    rows = [[0.0, 0.0, -1.0, -0.5, -1.0], [0.0, 0.0, 1.0, 1.0, 0.0]]
    return np.array([row + [0.0] * (size - 5) for row in rows]), np.array([MAX_PERSISTENCE, 0.0])


def _maximise(
    kind: Kind, distribution: Distribution, returns: np.ndarray, backcast: float, first: np.ndarray
) -> tuple[np.ndarray, bool, str]:
    """Maximise from `first`, restarting at the end while that still gains; return (theta, success, reason)."""
    from scipy.optimize import minimize

    names = ("mu", *COEFFICIENTS[kind], "nu")[: len(first)]
    scale = np.array([(_EGARCH_SCALE if kind == "egarch" else _SCALE)[name] for name in names])
    limits = [(low / s, high / s) for (low, high), s in zip(_limits(kind, distribution, returns), scale, strict=True)]
    matrix, offset = _constraints(kind, len(first))
    matrix = matrix * scale
    constraint = {"type": "ineq", "fun": lambda x: (matrix * x).sum(axis=1) + offset, "jac": lambda x: matrix}
    point, value = first / scale, np.inf
    for _ in range(4):
        result = minimize(
            lambda x: -log_likelihood(kind, distribution, x * scale, returns, backcast),
            point,
            method="SLSQP",
            bounds=limits,
            constraints=[constraint] if len(offset) else [],
            options={"ftol": 1e-8, "maxiter": 200, "eps": _STEP},
        )
        gain, point, value = value - result.fun, result.x, result.fun
        if not gain > 1e-3:
            break
    return point * scale, bool(result.success), str(result.message)
