// The answer so far, how sure the search is, what it has spent, and what else it found.

import { answer, element, svg } from "./text.js";

const WIDTH = 240;
const HEIGHT = 60;

export function showAnswer(pane, model) {
  const value = pane.querySelector(".answer-value");
  value.replaceChildren(model.answer === null ? "none yet" : answer(model.answer));
  pane.querySelector(".answer-confidence").textContent =
    model.answer === null ? "" : `${percent(model.confidence)} of the weight`;
  drawConfidence(pane.querySelector(".confidence"), model.history);
  showMeters(pane.querySelector(".meters"), model);
  showAlternatives(pane.querySelector(".alternatives tbody"), model.alternatives());
}

function drawConfidence(chart, history) {
  const title = chart.querySelector("title");
  const values = history.length === 1 ? [history[0], history[0]] : history; // a line needs two ends
  const step = WIDTH / Math.max(values.length - 1, 1);
  const points = values.map(({ confidence }, i) => `${(i * step).toFixed(1)},${(HEIGHT - 2 - confidence * (HEIGHT - 4)).toFixed(1)}`);
  const line = svg("polyline", { points: points.join(" ") });
  const changes = history
    .map((one, i) => ({ ...one, i }))
    .filter((one, i) => i > 0 && one.answer !== history[i - 1].answer)
    .map((one) => svg("line", { class: "change", x1: one.i * step, x2: one.i * step, y1: 0, y2: HEIGHT }));
  const last = history.at(-1);
  title.textContent = last
    ? `Confidence over ${history.length} trials, now ${percent(last.confidence)}; the answer changed ${changes.length} times`
    : "Confidence over the trials";
  chart.replaceChildren(title, ...changes, line);
}

function showMeters(list, model) {
  const usage = model.usage;
  const budget = model.started?.budget;
  const rows = !usage || !budget ? [] : [
    ["Tokens", usage.policy_tokens, budget.tokens],
    ["Rollouts", usage.rollouts, budget.rollouts],
    ["Seconds", usage.seconds, budget.seconds],
  ];
  list.replaceChildren(
    ...rows.flatMap(([name, spent, limit]) => [
      element("dt", {}, name),
      element("dd", {},
        element("meter", { min: 0, max: limit, value: Math.min(spent, limit), "aria-label": name }),
        ` ${round(spent)} of ${round(limit)}`),
    ]),
  );
}

function showAlternatives(body, alternatives) {
  body.replaceChildren(
    ...alternatives.slice(0, 8).map((one) =>
      element("tr", {}, element("td", {}, answer(one.answer)), element("td", {}, percent(one.weight)), element("td", {}, String(one.trajectories))),
    ),
  );
}

function percent(share) {
  return `${(100 * share).toFixed(0)} %`;
}

function round(value) {
  return value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });
}
