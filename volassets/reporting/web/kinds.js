// The kinds of charts, by the name that the data gives them.
volassets.kinds = (() => {
  "use strict";
  const { values, dates, written, select, chart, periods, page } = volassets;
  const LONG = 420;

  function lines(figure, spec) {
    const x = spec.time ? dates(spec.x) : values(spec.x);
    const made = chart(figure, spec, [x, ...spec.series.map((line) => values(line.values))]);
    if (spec.time && x.length > 120) periods(made, spec.period ?? "all");
    return made;
  }

  // Dots are the sessions where few are shown; where many are, only a line can be read.
  const many = (u) => u.scales.x.max - u.scales.x.min > LONG * 1.45 * 86400;

  function forecast(figure, spec) {
    let horizon = spec.horizons[0];
    let banded = spec.drawn;
    const part = () => spec.paths[horizon];
    const path = (model) => part().models[model];
    const column = (model, what) => (path(model) ? values(path(model)[what]) : part().empty ??= dates(part().x).map(() => null));
    const data = () => [
      dates(part().x), values(part().realized), column(banded, "lower"), column(banded, "upper"),
      ...spec.models.map(({ name }) => column(name, "volatility")),
    ];
    const linear = uPlot.paths.linear();
    const realised = {
      label: "realised", colour: "ink", alpha: 0.7, width: 0.7, size: 3.5, points: (u) => !many(u),
      paths: (u, ...rest) => (many(u) ? linear(u, ...rest) : null),
    };
    const edge = { label: "", colour: "transparent", width: 0, hidden: true };
    const model = ({ name, colour, dash }) => ({
      label: name, colour, dash, width: 1.6, show: name === spec.drawn,
      write: (at) => {
        const of = (what) => written(column(name, what)[at], "percent");
        return `${of("volatility")} [${of("lower")}, ${of("upper")}]`;
      },
    });
    const look = (name) => spec.models.find((other) => other.name === name).colour;
    const made = chart(figure, {
      time: true, height: 330, y: { log: true, label: "annualised volatility", marks: "whole", format: "percent" },
      series: [realised, edge, edge, ...spec.models.map(model)],
      bands: [{ series: [3, 2], fill: () => `${look(banded)}38` }],
    }, data());
    const again = periods(made, "1 year");
    const renew = () => { made.u.setData(data(), false); again(); };
    if (spec.horizons.length > 1) {
      const names = spec.horizons.map(String);
      made.tools.append(select("sessions ahead", names, names[0], (chosen) => { horizon = +chosen; renew(); }));
    }
    made.tools.append(select("band of", spec.models.map(({ name }) => name), banded, (chosen) => { banded = chosen; renew(); }));
  }

  const qlike = (forecast, outcome) => {
    if (!(forecast > 0) || !(outcome > 0)) return null;
    const ratio = (outcome / forecast) ** 2;
    return ratio - Math.log(ratio) - 1;
  };

  // The running sum of each model's loss less the baseline's, over the days that they share.
  function sum(figure, spec) {
    const source = page.charts.forecast;
    const part = source.paths[spec.horizon];
    const realized = values(part.realized);
    const models = source.models.filter(({ name }) => spec.models.includes(name));
    const losses = [spec.baseline, ...models.map(({ name }) => name)]
      .map((name) => values(part.models[name].volatility).map((value, i) => qlike(value, realized[i])));
    const shared = realized.map((_, i) => i).filter((i) => losses.every((loss) => loss[i] !== null));
    const sums = losses.slice(1).map((loss) => {
      let total = 0;
      return shared.map((i) => (total += loss[i] - losses[0][i]));
    });
    const x = dates(part.x);
    const series = models.map(({ name, colour, dash }) => ({ label: name, colour, dash }));
    const zero = { label: spec.baseline, colour: spec.colour, format: "signed" };
    const made = chart(figure, {
      time: true, series: [zero, ...series],
      y: { label: `QLIKE less ${spec.baseline}'s, summed`, marks: "plain", format: "signed" },
    }, [shared.map((i) => x[i]), shared.map(() => 0), ...sums]);
    if (shared.length > 120) periods(made, "all");
  }

  // Forecast against outcome of one model at a time; on the line the two agree.
  function scatter(figure, spec) {
    const source = page.charts.forecast;
    const part = source.paths[spec.horizon];
    const realized = values(part.realized);
    const pairs = (name) => {
      const forecasts = values(part.models[name].volatility);
      const found = forecasts.map((value, i) => [value, realized[i]]).filter(([f, y]) => f > 0 && y > 0);
      found.sort((a, b) => a[0] - b[0]);
      return [found.map(([f]) => f), found.map(([, y]) => y), found.map(([f]) => f)];
    };
    let made = null;
    const draw = (name) => {
      figure.querySelectorAll(".plot, .keys, .tools").forEach((old) => old.remove());
      const { colour } = source.models.find((model) => model.name === name);
      const found = pairs(name);
      // A month of dots is to be seen, fifteen years of them not to be one blot.
      const dots = found[0].length < 1000 ? { alpha: 0.85, size: 5.5 } : { alpha: 0.55, size: 3.5 };
      made = chart(figure, {
        height: 360, xLabel: "forecast, annualised volatility", xLog: true, y: { log: true, label: "realised", marks: "whole", format: "percent" },
        series: [
          { label: "realised", colour, kind: "points", ...dots },
          { label: "as forecast", colour: "ink", width: 1, points: false },
        ],
      }, found);
      made.tools.append(select("model", spec.models, name, draw));
    };
    draw(spec.models[0]);
  }

  return { lines, forecast, sum, scatter };
})();
