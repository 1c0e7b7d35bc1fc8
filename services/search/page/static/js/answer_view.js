// The answer so far, how sure the search is, what it has spent, and what else it found.

import { ConfidenceChart } from "./confidence_chart.js";
import { answer, element } from "./text.js";

const SHOWN = 6; // answers, until all are asked for

export class AnswerView {
  #seen = new Map(); // what each part shows
  #all = false;

  constructor(pane) {
    this.pane = pane;
    this.chart = new ConfidenceChart(pane.querySelector(".confidence"));
  }

  show(model) {
    const found = model.answer;
    this.#fill(".answer-value", found, () => [found === null ? "none yet" : answer(found)]);
    const sure = found === null ? "" : `${percent(model.confidence)} of the weight`;
    this.#fill(".answer-confidence", sure, () => [sure]);
    this.chart.show(model.history);
    this.#showMeters(model);
    this.#showAlternatives(model.alternatives());
  }

  // Parts are written where what they show has changed, so that a selection in them stays.
  #fill(selector, value, make) {
    const said = JSON.stringify(value);
    if (this.#seen.get(selector) === said) return;
    this.#seen.set(selector, said);
    this.pane.querySelector(selector).replaceChildren(...make());
  }

  #showMeters(model) {
    const usage = model.usage;
    const budget = model.started?.budget;
    const rows = !usage || !budget ? [] : [
      ["Tokens", usage.policy_tokens, budget.tokens],
      ["Rollouts", usage.rollouts, budget.rollouts],
      ["Seconds", usage.seconds, budget.seconds],
    ];
    this.#fill(".meters", rows, () => rows.flatMap(([name, spent, limit]) => [
      element("dt", {}, name),
      element("dd", {},
        element("meter", { min: 0, max: limit, value: Math.min(spent, limit), "aria-label": name }),
        element("span", {}, `${round(spent)} of ${round(limit)}`)),
    ]));
  }

  #showAlternatives(alternatives) {
    const rows = alternatives.slice(0, this.#all ? alternatives.length : SHOWN).map((one) => [one.answer, percent(one.weight), one.trajectories]);
    this.pane.querySelector(".alternatives").hidden = !rows.length;
    this.#fill(".alternatives tbody", rows, () => rows.map(([text, weight, count]) =>
      element("tr", {},
        element("td", {}, answer(text)),
        element("td", { class: "n" }, weight),
        element("td", { class: "n" }, String(count)))));
    const more = this.pane.querySelector('[data-do="alternatives"]');
    more.hidden = alternatives.length <= SHOWN;
    more.setAttribute("aria-expanded", String(this.#all));
    this.#fill('[data-do="alternatives"]', [this.#all, alternatives.length], () => [
      this.#all ? "Fewer" : `All ${alternatives.length} answers`,
    ]);
  }

  toggleAll(model) {
    this.#all = !this.#all;
    this.#showAlternatives(model.alternatives());
  }
}

function percent(share) {
  return `${(100 * share).toFixed(0)} %`;
}

function round(value) {
  return value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });
}
