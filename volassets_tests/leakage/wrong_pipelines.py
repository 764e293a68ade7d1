"""One small honest pipeline on the real feature functions, and the ways to spoil it.

Each wrong pipeline differs from the honest one in one step, the way the mistake is usually made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from volassets.evaluation.leakage import Pipeline
from volassets.features.feature_table import build_features
from volassets.features.selection import select_features
from volassets.features.targets import month_ratio, proxy_ratio, suspect_days, target
from volassets.market.calendar import SessionCalendar
from volassets.models.linear import weighted
from volassets.models.window import training_rows
from volassets.timing import origins_of_month

HORIZONS = (1, 5)
USED = ("log_proxy", "log_proxy_5", "log_proxy_22", "return_z")


@dataclass(frozen=True)
class Steps:
    """The steps of a small walk-forward forecast for one month, each of them honest."""

    calendar: SessionCalendar
    month: pd.Timestamp

    def features(self, bars: pd.DataFrame) -> pd.DataFrame:
        """Feature table: row t from bars up to t."""
        return build_features(bars, self.calendar)

    def past(self, features: pd.DataFrame) -> pd.DataFrame:
        """Rows that the month's statistics may use."""
        return training_rows(features, self.month)

    def ratio(self, features: pd.DataFrame) -> float:
        """Proxy ratio of the days before the month."""
        return month_ratio(self.past(features), self.month)

    def selection(self, features: pd.DataFrame) -> pd.DataFrame:
        """Correlation filter on the rows before the month."""
        return select_features(self.past(features))

    def scaled(self, features: pd.DataFrame) -> pd.DataFrame:
        """Inputs, standardised with the rows before the month."""
        past = self.past(features)[list(USED)]
        return (features[list(USED)] - past.mean()) / past.std()

    def labels(self, features: pd.DataFrame, horizon: int) -> pd.Series:
        """Log target by origin."""
        return np.log(target(features["proxy_variance"], horizon, self.ratio(features)))

    def known(self, features: pd.DataFrame, horizon: int) -> pd.Index:
        """Origins whose label is realised before the month."""
        past = self.past(features)
        return past.index[: max(len(past) - horizon, 0)]

    def noise(self, features: pd.DataFrame) -> float:
        """Random start of the fit, from a fixed seed."""
        return float(np.random.default_rng(1).standard_normal())

    def coefficients(self, features: pd.DataFrame, horizon: int) -> np.ndarray:
        """Ridge coefficients of the log target on the inputs, pulled towards the random start."""
        scaled, labels = self.scaled(features), self.labels(features, horizon)
        rows = self.known(features, horizon)
        rows = rows[scaled.loc[rows].notna().all(axis=1) & labels.loc[rows].notna()]
        design = np.column_stack([np.ones(len(rows)), scaled.loc[rows].to_numpy()])
        start = np.full(design.shape[1], 1e-3 * self.noise(features))
        return np.linalg.solve(
            design.T @ design + np.eye(design.shape[1]), design.T @ labels.loc[rows].to_numpy() + start
        )

    def correction(self, features: pd.DataFrame, forecasts: pd.Series, horizon: int) -> pd.Series:
        """Mean error of the last 50 forecasts realised at each origin."""
        error = self.labels(features, horizon) - forecasts
        return error.shift(horizon).rolling(50).mean()

    def pipeline(self) -> Pipeline:
        """Return the pipeline of these steps."""

        def run(bars: pd.DataFrame) -> dict[str, pd.DataFrame]:
            features = self.features(bars)
            known_at = self.past(features).index[-1]
            origins = origins_of_month(pd.DatetimeIndex(features.index), self.month, self.calendar)
            fits, forecasts = [], []
            for horizon in HORIZONS:
                coefficients = self.coefficients(features, horizon)
                scaled = self.scaled(features)
                # Not `@`, whose last bit on a processor without AVX-512 depends on how many rows there are.
                fitted = pd.Series(coefficients[0] + weighted(scaled.to_numpy(), coefficients[1:]), features.index)
                corrected = fitted + self.correction(features, fitted, horizon)
                fits.append(pd.DataFrame({"horizon": horizon, "coefficient": coefficients, "known_at": known_at}))
                forecasts.append(
                    pd.DataFrame(
                        {"known_at": origins, "horizon": horizon, "variance": np.exp(corrected.loc[origins].to_numpy())}
                    )
                )
            labels = [
                pd.DataFrame({"known_at": features.index, "horizon": h, "label": self.labels(features, h).to_numpy()})
                for h in HORIZONS
            ]
            return {
                "features": features.assign(known_at=features.index),
                "selection": self.selection(features).reset_index().assign(known_at=known_at, month=self.month),
                "fits": pd.concat(fits, ignore_index=True).assign(month=self.month),
                "forecasts": pd.concat(forecasts, ignore_index=True).assign(month=self.month),
                "labels": pd.concat(labels, ignore_index=True),
            }

        return run


class FullSampleScaler(Steps):
    """Standardises with the mean and deviation of all rows."""

    def scaled(self, features: pd.DataFrame) -> pd.DataFrame:
        inputs = features[list(USED)]
        return (inputs - inputs.mean()) / inputs.std()


class BackFill(Steps):
    """Fills a weekly figure backwards, so that Monday knows Friday's."""

    def features(self, bars: pd.DataFrame) -> pd.DataFrame:
        features = super().features(bars)
        weekly = features["log_proxy_5"].where(pd.DatetimeIndex(features.index).day_of_week == 4)
        return features.assign(log_proxy_5=weekly.bfill())


class CentredRolling(Steps):
    """Smooths with a window that reaches two days ahead."""

    def features(self, bars: pd.DataFrame) -> pd.DataFrame:
        features = super().features(bars)
        return features.assign(log_proxy_5=features["log_proxy"].rolling(5, center=True).mean())


class ShiftedBack(Steps):
    """Uses tomorrow's value under today's date."""

    def features(self, bars: pd.DataFrame) -> pd.DataFrame:
        features = super().features(bars)
        return features.assign(return_z=features["return_z"].shift(-1))


class FullSampleWinsorising(Steps):
    """Clips at the quantiles of all days."""

    def features(self, bars: pd.DataFrame) -> pd.DataFrame:
        features = super().features(bars)
        column = features["return_z"]
        return features.assign(return_z=column.clip(column.quantile(0.01), column.quantile(0.99)))


class FullSampleRatio(Steps):
    """Scales the proxy with the ratio of all days."""

    def ratio(self, features: pd.DataFrame) -> float:
        return proxy_ratio(features["return"], features["proxy_variance"], pd.Timestamp.max)


class SuspectsOfLaterDays(Steps):
    """Judges a wide range before the month by the days after it too."""

    def ratio(self, features: pd.DataFrame) -> float:
        suspect = suspect_days(features).before(len(features))
        suspect = suspect[suspect < len(self.past(features))]
        return proxy_ratio(features["return"], features["proxy_variance"], self.month, suspect)


class FullSampleFilter(Steps):
    """Drops correlated features by the correlations of all rows."""

    def selection(self, features: pd.DataFrame) -> pd.DataFrame:
        return select_features(features)


class UnrealisedLabels(Steps):
    """Fits on the last h labels before the month, which are not known yet."""

    def known(self, features: pd.DataFrame, horizon: int) -> pd.Index:
        return self.past(features).index


class UnrealisedErrors(Steps):
    """Corrects with yesterday's five-session error, four sessions before it is known."""

    def correction(self, features: pd.DataFrame, forecasts: pd.Series, horizon: int) -> pd.Series:
        error = self.labels(features, horizon) - forecasts
        return error.shift(1).rolling(50).mean()


class LengthInTheSeed(Steps):
    """Draws its start from a generator that depends on how long the history is."""

    def noise(self, features: pd.DataFrame) -> float:
        return float(np.random.default_rng(len(features)).standard_normal())


PLANTED = (
    FullSampleScaler,
    BackFill,
    CentredRolling,
    ShiftedBack,
    FullSampleWinsorising,
    FullSampleRatio,
    SuspectsOfLaterDays,
    FullSampleFilter,
    UnrealisedLabels,
    UnrealisedErrors,
    LengthInTheSeed,
)
