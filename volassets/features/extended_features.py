"""The features beyond the reference recipe: log variances, leverage, volume, estimators, momentum, calendar."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd

from volassets.features import indicators, variance
from volassets.features.base_series import FLOOR_WINDOW, BaseSeries
from volassets.features.feature import ANNUAL, CALENDAR, DAILY, RATIO, RETURN, Feature
from volassets.features.variance import annualised, log
from volassets.market.bars import total_return_factor

LOG_VARIANCE = "log of daily variance"
DEVIATIONS = "standard deviations"
FLAG = "0 or 1"

_variance = partial(Feature, group="Log variances and HAR terms")
_leverage = partial(Feature, group="Standardised returns and leverage", source="own; leverage: Black (1976)")
_volume = partial(Feature, group="Volume and close location")
_estimator = partial(Feature, group="Variance estimators")
_momentum = partial(Feature, group="Momentum and oscillators")
_calendar = partial(Feature, group="Calendar", source="exchange calendar", timing=CALENDAR)


def extended() -> tuple[Feature, ...]:
    """Return every feature that the reference recipe does not have."""
    return (*_log_variances(), *_standardised_returns(), *_volumes(), *_estimators(), *_momenta(), *_calendars())


def _log_variances() -> tuple[Feature, ...]:
    garman_klass, corsi = "Garman and Klass (1980)", "Corsi (2009)"
    proxy = "lp_t = ln p_t, p the variance proxy floored at 2 % of its 66-row median"
    log_gk = "lg_t = ln GK_t, floored like p; lp_t where 66 rows have no range at all"
    level = "(log_proxy_22 - mean of lp over all rows up to t) / 2"
    deviation = "sample standard deviation of lp over 22 rows: the volatility of volatility"
    floor, days = FLOOR_WINDOW, (5, 22, 66)
    return (
        _variance("log_proxy", proxy, LOG_VARIANCE, floor + 1, lambda x: x.log_proxy, 1, garman_klass),
        *(
            _variance(f"log_proxy_{n}", f"ln of the mean of p over {n} rows", LOG_VARIANCE, n + floor, mean, n, corsi)
            for n in days
            for mean in [partial(BaseSeries.log_mean_proxy, window=n)]
        ),
        *(
            _variance(f"proxy_mean_{n}", f"mean of p over {n} rows", DAILY, n + floor, mean, n, corsi)
            for n in days
            for mean in [partial(BaseSeries.mean_proxy, window=n)]
        ),
        _variance("log_gk", log_gk, LOG_VARIANCE, floor + 1, _log_range, 1, garman_klass),
        _variance(
            "log_gk_5", "ln of the mean of the floored GK over 5 rows", LOG_VARIANCE, floor + 5, _log_range_5, 5, corsi
        ),
        _variance("log_proxy_level", level, LOG_VARIANCE, 0, _proxy_level, 22),
        _variance(
            "log_proxy_deviation_22", deviation, LOG_VARIANCE, floor + 22, lambda x: x.log_proxy.rolling(22).std(), 22
        ),
    )


def _standardised_returns() -> tuple[Feature, ...]:
    z = "z_t = r_t / (1.27 sqrt(EWMA_.06(p)_{t-1})), clipped to +-8"
    overnight = "o_t / (1.27 sqrt(EWMA_.06(p)_{t-1})), clipped to +-8, o the overnight return"
    share = "sum of min(r, 0)^2 / sum of r^2 over 22 rows; 1/2 without a move"
    semivariance = "Barndorff-Nielsen, Kinnebrock and Shephard (2010)"
    return (
        _leverage("return_z", z, DEVIATIONS, 0, lambda x: x.return_z, 22),
        _leverage("return_z_negative", "min(z_t, 0)", DEVIATIONS, 0, lambda x: x.return_z.clip(upper=0), 22),
        _leverage("overnight_z", overnight, DEVIATIONS, 0, _overnight_z, 22),
        *(feature for days in (5, 22) for feature in _return_over(days)),
        _leverage("negative_share_22", share, RATIO, 23, _negative_share, source=semivariance),
    )


def _volumes() -> tuple[Feature, ...]:
    surprise = "ln V_t - mean of ln V over 20 rows, clipped to +-2; 0 where nothing was traded"
    surprise_5 = "mean of ln V over 5 rows - mean over 66 rows; 0 where nothing was traded"
    return (
        _volume("volume_surprise", surprise, "log ratio", 20, _volume_surprise),
        _volume(
            "volume_surprise_5",
            surprise_5,
            "log ratio",
            66,
            lambda x: (x.mean_log_volume(5) - x.mean_log_volume(66)).fillna(0.0),
        ),
        _volume("close_location", "(C - L) / (H - L) - 1/2; 0 on a zero range", "-1/2 to 1/2", 1, _close_location),
    )


def _estimators() -> tuple[Feature, ...]:
    rs = ("ln(H/C) ln(H/O) + ln(L/C) ln(L/O)", variance.rogers_satchell, 0, "Rogers and Satchell (1991)")
    gkyz = ("GK + o^2", variance.garman_klass_yang_zhang, 1, "Garman and Klass (1980), Yang and Zhang (2000)")
    return (
        _averaged("parkinson_20d", 20, "ln(H/L)^2 / (4 ln 2)", variance.parkinson, 0, "Parkinson (1980)"),
        _averaged("rogers_satchell", 1, *rs),
        _averaged("rogers_satchell_20d", 20, *rs),
        _averaged("gkyz", 1, *gkyz),
        _averaged("gkyz_5d", 5, *gkyz),
        _averaged("gkyz_20d", 20, *gkyz),
        _averaged("close_to_close_20d", 20, "r^2", variance.close_to_close, 1, "zero-mean historical volatility"),
        *(
            _estimator(
                f"yang_zhang_{days}d",
                f"sqrt(S (var(o) + k var(ln C/O) + (1 - k) mean RS)) over {days} rows, "
                "k = .34 / (1.34 + (n + 1) / (n - 1))",
                ANNUAL,
                days + 1,
                _rolling_volatility(partial(variance.yang_zhang, window=days), 1),
                source="Yang and Zhang (2000)",
            )
            for days in (5, 20)
        ),
        _estimator(
            "atr_14",
            "Wilder's average true range of 14 rows / close, on total-return prices",
            RATIO,
            0,
            _relative_true_range,
            warm_up=14,
            source="Wilder (1978)",
        ),
    )


def _momenta() -> tuple[Feature, ...]:
    rsi = "relative strength index of A with Wilder's averages of 14 changes; 50 without a change"
    return (
        *(
            _momentum(f"momentum_{n}", f"ln(A_t / A_{{t-{n}}})", RETURN, n + 1, change, source=_JEGADEESH)
            for n in (5, 22, 66)
            for change in [partial(_log_change, days=n)]
        ),
        _momentum("drawdown_66", "A_t / maximum of A over 66 rows - 1", RATIO, 66, _drawdown),
        _momentum("rsi_14_wilder", rsi, "0 to 100", 0, lambda x: indicators.rsi_wilder(x.price), 14, "Wilder (1978)"),
    )


_JEGADEESH = "Jegadeesh and Titman (1993)"


def _calendars() -> tuple[Feature, ...]:
    return (
        _calendar("next_monday", "1 where the next session is a Monday", FLAG, 1, partial(_next_weekday, day=0)),
        _calendar("next_friday", "1 where the next session is a Friday", FLAG, 1, partial(_next_weekday, day=4)),
        _calendar("next_gap", "days from t to the next session", "calendar days", 1, _next_gap),
        _calendar("next_month", "1 where the next session opens a new month", FLAG, 1, _next_month),
    )


def _averaged(
    name: str, days: int, formula: str, estimate: Callable[[pd.DataFrame], pd.Series], lag: int, source: str
) -> Feature:
    """Return the feature of a daily estimator, which needs `lag` earlier rows, averaged over `days` rows."""
    text = f"sqrt(S ({formula}))" if days == 1 else f"sqrt(S mean of ({formula}) over {days} rows)"
    return _estimator(name, text, ANNUAL, days + lag, _rolling_volatility(estimate, days), source=source)


def _rolling_volatility(estimate: Callable[[pd.DataFrame], pd.Series], days: int) -> Callable[[BaseSeries], pd.Series]:
    return lambda x: annualised(estimate(x.bars).rolling(days).mean() if days > 1 else estimate(x.bars))


def _return_over(days: int) -> tuple[Feature, Feature]:
    name = f"return_z_{days}"
    formula = f"sum of r over {days} rows / (sqrt({days}) 1.27 sqrt(EWMA_.06(p)_{{t-1}})), clipped to +-6"
    return (
        _leverage(name, formula, DEVIATIONS, 0, lambda x: x.return_z_over(days), 22),
        _leverage(
            f"{name}_negative", f"min({name}, 0)", DEVIATIONS, 0, lambda x: x.return_z_over(days).clip(upper=0), 22
        ),
    )


def _log_range(x: BaseSeries) -> pd.Series:
    return log(x.range_variance).where(x.proxy.notna())


def _log_range_5(x: BaseSeries) -> pd.Series:
    return log(x.range_variance.rolling(5).mean())


def _proxy_level(x: BaseSeries) -> pd.Series:
    return (x.log_mean_proxy(22) - x.log_proxy.expanding().mean()) / 2


def _overnight_z(x: BaseSeries) -> pd.Series:
    return (x.overnight / x.expected_deviation).clip(-8, 8)


def _negative_share(x: BaseSeries) -> pd.Series:
    total = x.squared_return.rolling(22).sum()
    negative = (x.log_return.clip(upper=0) ** 2).rolling(22).sum()
    return (negative / total.where(total > 0)).where(total != 0, 0.5).clip(0, 1)


def _volume_surprise(x: BaseSeries) -> pd.Series:
    return (x.log_volume - x.mean_log_volume(20)).clip(-2, 2).fillna(0.0)


def _close_location(x: BaseSeries) -> pd.Series:
    span = x.bars["high"] - x.bars["low"]
    return ((x.bars["close"] - x.bars["low"]) / span.where(span > 0) - 0.5).fillna(0.0)


def _relative_true_range(x: BaseSeries) -> pd.Series:
    factor = total_return_factor(x.bars)
    return indicators.average_true_range(x.bars["high"] * factor, x.bars["low"] * factor, x.price) / x.price


def _log_change(x: BaseSeries, days: int) -> pd.Series:
    return log(x.price / x.price.shift(days))


def _drawdown(x: BaseSeries) -> pd.Series:
    return x.price / x.price.rolling(66).max() - 1


def _next_weekday(x: BaseSeries, day: int) -> pd.Series:
    return x.daily(x.next_sessions.day_of_week == day)


def _next_gap(x: BaseSeries) -> pd.Series:
    return x.daily((x.next_sessions - pd.DatetimeIndex(x.bars.index)).days)


def _next_month(x: BaseSeries) -> pd.Series:
    return x.daily(x.next_sessions.month != pd.DatetimeIndex(x.bars.index).month)
