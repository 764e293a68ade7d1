"""Questions that people ask of the tables, each with its query; docs/sql.md shows them, the tests run them."""

from __future__ import annotations

COOKBOOK: tuple[tuple[str, str], ...] = (
    (
        "What is the forecast of every ticker for the next session?",
        """
        SELECT ticker, origin_date, target_date, round(100 * volatility, 1) AS volatility_percent,
            round(100 * lower, 1) AS lower_percent, round(100 * upper, 1) AS upper_percent
        FROM latest_forecasts
        WHERE model = 'combination' AND horizon = 1
        ORDER BY ticker
        """,
    ),
    (
        "Which model is best, and is its lead over GJR-GARCH significant?",
        """
        SELECT ticker, model, n, round(qlike, 4) AS qlike, round(100 * qlike_vs_gjr, 1) AS percent_vs_gjr,
            round(dm_vs_gjr, 2) AS dm, round(dm_p, 4) AS p, mcs_p >= 0.10 AS in_confidence_set
        FROM leaderboard
        WHERE horizon = 1
        ORDER BY ticker, leaderboard.qlike
        """,
    ),
    (
        "In which months did lstm lose to gjr?",
        """
        SELECT ticker, date_trunc('month', target_date)::DATE AS month, count(*) AS days,
            avg(lstm.qlike) AS lstm_qlike, avg(gjr.qlike) AS gjr_qlike
        FROM (FROM forecast_losses WHERE model = 'lstm') AS lstm
        JOIN (FROM forecast_losses WHERE model = 'gjr') AS gjr USING (ticker, horizon, origin_date, target_date)
        WHERE horizon = 1
        GROUP BY ALL
        HAVING avg(lstm.qlike) > avg(gjr.qlike)
        ORDER BY ticker, month
        """,
    ),
    (
        "What did the models know on 10 March 2016?",
        """
        SELECT f.model, f.refit_month, train_start, train_end, n_train, origin_date AS last_close_seen, target_date,
            horizon, volatility
        FROM forecasts AS f LEFT JOIN fits USING (ticker, refit_month, model)
        WHERE ticker = '^GSPC' AND origin_date = DATE '2016-03-10'
        ORDER BY f.model, horizon
        """,
    ),
    (
        "Why was a feature dropped in a month?",
        """
        SELECT feature, reason, correlated_with, round(abs_correlation, 3) AS abs_correlation
        FROM selected_features
        WHERE ticker = '^GSPC' AND refit_month = DATE '2016-03-01' AND NOT selected
        ORDER BY feature
        """,
    ),
    (
        "How often was each feature kept?",
        """
        SELECT feature, count(*) AS months, round(avg(selected::INTEGER), 2) AS share_kept
        FROM selected_features
        WHERE ticker = '^GSPC'
        GROUP BY feature
        ORDER BY share_kept DESC, feature
        """,
    ),
    (
        "Which fits did not converge, and what was done about it?",
        """
        SELECT ticker, refit_month, model, converged, message
        FROM fits
        WHERE NOT converged OR message <> ''
        ORDER BY ticker, refit_month, model
        """,
    ),
    (
        "Do the forecast intervals hold what they promise, year by year?",
        """
        SELECT f.model, f.horizon, year(f.target_date) AS year, count(*) AS n,
            round(avg((sqrt(252 * r.proxy_variance) BETWEEN f.lower AND f.upper)::INTEGER), 3) AS coverage
        FROM forecasts AS f JOIN realized AS r USING (ticker, origin_date, horizon)
        WHERE f.lower IS NOT NULL
        GROUP BY ALL
        ORDER BY ALL
        """,
    ),
    (
        "How did the parameters of gjr move?",
        """
        SELECT refit_month, (parameters->>'$.persistence')::DOUBLE AS persistence,
            (parameters->>'$.half_life')::DOUBLE AS half_life
        FROM garch_fits
        WHERE ticker = '^GSPC' AND model = 'gjr'
        ORDER BY refit_month
        """,
    ),
    (
        "Which old prices did the source change afterwards, and by how much?",
        """
        SELECT ticker, date, "column", old, new, round(100 * (new / old - 1), 2) AS percent, seen_at
        FROM price_revisions
        ORDER BY seen_at DESC, ticker, date, "column"
        """,
    ),
    (
        "Which months lack a model that others have there?",
        """
        SELECT months.ticker, months.refit_month, models.model
        FROM (SELECT DISTINCT ticker, refit_month FROM forecasts) AS months
        JOIN (SELECT DISTINCT ticker, model FROM forecasts) AS models USING (ticker)
        ANTI JOIN forecasts AS f
            ON f.ticker = months.ticker AND f.refit_month = months.refit_month AND f.model = models.model
        ORDER BY ALL
        """,
    ),
    (
        "What does a fit cost?",
        """
        SELECT model, count(*) AS fits, round(avg(seconds), 2) AS mean_seconds, round(max(seconds), 2) AS longest,
            round(sum(seconds) / 60, 1) AS minutes_in_all
        FROM fits
        GROUP BY model
        ORDER BY sum(seconds) DESC
        """,
    ),
)
