"""The features beyond the reference recipe: log variances, leverage, volume, estimators, momentum, calendar."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd

from volassets.features import indicators, variance
from volassets.features.base_series import FLOOR_WINDOW, Ingredients
from volassets.features.feature import CALENDAR, Feature
from volassets.features.reference_features import ANNUAL, RATIO
from volassets.features.variance import annualised, log
from volassets.market.bars import total_return_factor

LOG_VARIANCE = "log of daily variance"
DEVIATIONS = "standard deviations"
FLAG = "0 or 1"

_log_variance = partial(Feature, unit=LOG_VARIANCE, group="Log variances and HAR terms")
_leverage = partial(
    Feature, unit=DEVIATIONS, group="Standardised returns and leverage", source="own; leverage: Black (1976)"
)
_volume = partial(Feature, group="Volume and close location", source="own")
_estimator = partial(Feature, unit=ANNUAL, group="Variance estimators")
_momentum = partial(Feature, group="Momentum and oscillators")
_calendar = partial(Feature, group="Calendar", source="exchange calendar", window=1, warm_up=0, timing=CALENDAR)


def extended() -> tuple[Feature, ...]:
    """Return every feature that the reference recipe does not have."""
    return (*_log_variances(), *_standardised_returns(), *_volumes(), *_estimators(), *_momenta(), *_calendars())


def _log_variances() -> tuple[Feature, ...]:
    return (
        _log_variance(
            name="log_proxy",
            formula="lp_t = ln p_t, p the variance proxy floored at 1 % of its 66-row mean",
            window=FLOOR_WINDOW + 1,
            warm_up=1,
            source="Garman and Klass (1980)",
            compute=lambda x: x.log_proxy,
        ),
        *(_log_mean(days) for days in (5, 22, 66)),
        *(_mean(days) for days in (5, 22, 66)),
        _log_variance(
            name="log_gk",
            formula="lg_t = ln GK_t, floored like p; lp_t where 66 rows have no range at all",
            window=FLOOR_WINDOW + 1,
            warm_up=1,
            source="Garman and Klass (1980)",
            compute=lambda x: log(x.range_variance).where(x.proxy.notna()),
        ),
        _log_variance(
            name="log_gk_5",
            formula="ln of the mean of the floored GK over 5 rows",
            window=FLOOR_WINDOW + 5,
            warm_up=5,
            source="Corsi (2009)",
            compute=lambda x: log(x.range_variance.rolling(5).mean()),
        ),
        _log_variance(
            name="log_proxy_level",
            formula="(log_proxy_22 - mean of lp over all rows up to t) / 2",
            window=0,
            warm_up=22,
            source="own",
            compute=lambda x: (x.log_mean_proxy(22) - x.log_proxy.expanding().mean()) / 2,
        ),
        _log_variance(
            name="log_proxy_deviation_22",
            formula="sample standard deviation of lp over 22 rows: the volatility of volatility",
            window=FLOOR_WINDOW + 22,
            warm_up=22,
            source="own",
            compute=lambda x: x.log_proxy.rolling(22).std(),
        ),
    )


def _standardised_returns() -> tuple[Feature, ...]:
    return (
        _leverage(
            name="return_z",
            formula="z_t = r_t / (1.27 sqrt(EWMA_.06(p)_{t-1})), clipped to +-8",
            window=0,
            warm_up=22,
            compute=lambda x: x.return_z,
        ),
        _leverage(
            name="return_z_negative",
            formula="min(z_t, 0)",
            window=0,
            warm_up=22,
            compute=lambda x: x.return_z.clip(upper=0),
        ),
        _leverage(
            name="overnight_z",
            formula="o_t / (1.27 sqrt(EWMA_.06(p)_{t-1})), clipped to +-8, o the overnight return",
            window=0,
            warm_up=22,
            compute=lambda x: (x.overnight / x.expected_deviation).clip(-8, 8),
        ),
        *(feature for days in (5, 22) for feature in _return_over(days)),
        _leverage(
            name="negative_share_22",
            formula="sum of min(r, 0)^2 / sum of r^2 over 22 rows; 1/2 without a move",
            unit=RATIO,
            window=23,
            warm_up=22,
            source="Barndorff-Nielsen, Kinnebrock and Shephard (2010)",
            compute=_negative_share,
        ),
    )


def _volumes() -> tuple[Feature, ...]:
    return (
        _volume(
            name="volume_surprise",
            formula="ln V_t - mean of ln V over 20 rows, clipped to +-2; 0 where nothing was traded",
            unit="log ratio",
            window=20,
            warm_up=19,
            compute=lambda x: (x.log_volume - x.mean_log_volume(20)).clip(-2, 2).fillna(0.0),
        ),
        _volume(
            name="volume_surprise_5",
            formula="mean of ln V over 5 rows - mean over 66 rows; 0 where nothing was traded",
            unit="log ratio",
            window=66,
            warm_up=65,
            compute=lambda x: (x.mean_log_volume(5) - x.mean_log_volume(66)).fillna(0.0),
        ),
        _volume(
            name="close_location",
            formula="(C - L) / (H - L) - 1/2; 0 on a zero range",
            unit="-1/2 to 1/2",
            window=1,
            warm_up=0,
            compute=_close_location,
        ),
    )


def _estimators() -> tuple[Feature, ...]:
    daily = (
        ("parkinson_20d", "ln(H/L)^2 / (4 ln 2)", variance.parkinson, 20, "Parkinson (1980)"),
        ("rogers_satchell", _RS, variance.rogers_satchell, 1, "Rogers and Satchell (1991)"),
        ("rogers_satchell_20d", _RS, variance.rogers_satchell, 20, "Rogers and Satchell (1991)"),
        ("gkyz", "GK + o^2", variance.garman_klass_yang_zhang, 1, _GKYZ_SOURCE),
        ("gkyz_5d", "GK + o^2", variance.garman_klass_yang_zhang, 5, _GKYZ_SOURCE),
        ("gkyz_20d", "GK + o^2", variance.garman_klass_yang_zhang, 20, _GKYZ_SOURCE),
        ("close_to_close_20d", "r^2", variance.close_to_close, 20, "zero-mean historical volatility"),
    )
    return (
        *(
            _estimator(
                name=name,
                formula=f"sqrt(252 ({formula}))" if days == 1 else f"sqrt(252 mean of ({formula}) over {days} rows)",
                window=days + needs_previous,
                warm_up=days - 1 + needs_previous,
                source=source,
                compute=_rolling_volatility(estimate, days),
            )
            for name, formula, estimate, days, source in daily
            for needs_previous in [int(estimate in (variance.garman_klass_yang_zhang, variance.close_to_close))]
        ),
        *(
            _estimator(
                name=f"yang_zhang_{days}d",
                formula=f"sqrt(252 (var(o) + k var(ln C/O) + (1 - k) mean RS)) over {days} rows, "
                "k = .34 / (1.34 + (n + 1) / (n - 1))",
                window=days + 1,
                warm_up=days,
                source="Yang and Zhang (2000)",
                compute=_rolling_volatility(partial(variance.yang_zhang, window=days), 1),
            )
            for days in (5, 20)
        ),
        _estimator(
            name="atr_14",
            formula="Wilder's average true range of 14 rows / close, on total-return prices",
            unit=RATIO,
            window=0,
            warm_up=14,
            source="Wilder (1978)",
            compute=_relative_true_range,
        ),
    )


_RS = "ln(H/C) ln(H/O) + ln(L/C) ln(L/O)"
_GKYZ_SOURCE = "Garman and Klass (1980), Yang and Zhang (2000)"


def _momenta() -> tuple[Feature, ...]:
    return (
        *(_momentum_over(days) for days in (5, 22, 66)),
        _momentum(
            name="drawdown_66",
            formula="A_t / maximum of A over 66 rows - 1",
            unit=RATIO,
            window=66,
            warm_up=65,
            source="own",
            compute=lambda x: x.price / x.price.rolling(66).max() - 1,
        ),
        _momentum(
            name="rsi_14_wilder",
            formula="relative strength index of A with Wilder's averages of 14 changes; 50 without a change",
            unit="0 to 100",
            window=0,
            warm_up=14,
            source="Wilder (1978)",
            compute=lambda x: indicators.rsi_wilder(x.price, 14),
        ),
    )


def _calendars() -> tuple[Feature, ...]:
    return (
        _calendar(
            name="next_monday",
            formula="1 where the next session is a Monday",
            unit=FLAG,
            compute=lambda x: x.daily(x.next_sessions.day_of_week == 0),
        ),
        _calendar(
            name="next_friday",
            formula="1 where the next session is a Friday",
            unit=FLAG,
            compute=lambda x: x.daily(x.next_sessions.day_of_week == 4),
        ),
        _calendar(
            name="next_gap",
            formula="days from t to the next session",
            unit="calendar days",
            compute=lambda x: x.daily((x.next_sessions - pd.DatetimeIndex(x.bars.index)).days),
        ),
        _calendar(
            name="next_month",
            formula="1 where the next session opens a new month",
            unit=FLAG,
            compute=lambda x: x.daily(x.next_sessions.month != pd.DatetimeIndex(x.bars.index).month),
        ),
    )


def _log_mean(days: int) -> Feature:
    return _log_variance(
        name=f"log_proxy_{days}",
        formula=f"ln of the mean of p over {days} rows",
        window=days + FLOOR_WINDOW,
        warm_up=days,
        source="Corsi (2009)",
        compute=lambda x: x.log_mean_proxy(days),
    )


def _mean(days: int) -> Feature:
    return _log_variance(
        name=f"proxy_mean_{days}",
        formula=f"mean of p over {days} rows",
        unit="daily variance, decimal",
        window=days + FLOOR_WINDOW,
        warm_up=days,
        source="Corsi (2009)",
        compute=lambda x: x.proxy.rolling(days).mean(),
    )


def _momentum_over(days: int) -> Feature:
    return _momentum(
        name=f"momentum_{days}",
        formula=f"ln(A_t / A_{{t-{days}}})",
        unit="decimal return",
        window=days + 1,
        warm_up=days,
        source="Jegadeesh and Titman (1993)",
        compute=lambda x: log(x.price / x.price.shift(days)),
    )


def _rolling_volatility(estimate: Callable[[pd.DataFrame], pd.Series], days: int) -> Callable[[Ingredients], pd.Series]:
    return lambda x: annualised(estimate(x.bars).rolling(days).mean() if days > 1 else estimate(x.bars))


def _return_over(days: int) -> tuple[Feature, Feature]:
    return (
        _leverage(
            name=f"return_z_{days}",
            formula=f"sum of r over {days} rows / (sqrt({days}) 1.27 sqrt(EWMA_.06(p)_{{t-1}})), clipped to +-6",
            window=0,
            warm_up=22,
            compute=lambda x: x.return_z_over(days),
        ),
        _leverage(
            name=f"return_z_{days}_negative",
            formula=f"min(return_z_{days}, 0)",
            window=0,
            warm_up=22,
            compute=lambda x: x.return_z_over(days).clip(upper=0),
        ),
    )


def _negative_share(x: Ingredients) -> pd.Series:
    total = x.squared_return.rolling(22).sum()
    negative = (x.log_return.clip(upper=0) ** 2).rolling(22).sum()
    return (negative / total.where(total > 0)).where(total != 0, 0.5).clip(0, 1)


def _close_location(x: Ingredients) -> pd.Series:
    span = x.bars["high"] - x.bars["low"]
    return ((x.bars["close"] - x.bars["low"]) / span.where(span > 0) - 0.5).fillna(0.0)


def _relative_true_range(x: Ingredients) -> pd.Series:
    factor = total_return_factor(x.bars)
    return indicators.average_true_range(x.bars["high"] * factor, x.bars["low"] * factor, x.price) / x.price
