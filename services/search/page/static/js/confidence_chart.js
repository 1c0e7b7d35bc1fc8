// How sure the search was of its answer, over its trials: a line that goes on by a step a trial, and a
// mark where the answer changed.

import { svg } from "./text.js";

const HEIGHT = 60;
const EDGE = 2; // so that the line is whole at 0 and 1
const POINTS = 2; // a trial's confidence holds from it to the next

export class ConfidenceChart {
  #line = svg("polyline");
  #changes = svg("g");
  #marks = []; // by rising trial: {trial, mark}
  #shown = 0;

  constructor(chart) {
    this.chart = chart;
    this.title = chart.querySelector("title");
    chart.append(this.#changes, this.#line);
  }

  // A history is one search's: another moment's is the beginning of a later one's.
  show(history) {
    if (history.length === this.#shown) return;
    const { points } = this.#line;
    while (points.numberOfItems > POINTS * history.length) points.removeItem(points.numberOfItems - 1);
    while (this.#marks.length && this.#marks.at(-1).trial >= history.length) this.#marks.pop().mark.remove();
    for (let at = this.#shown; at < history.length; at += 1) this.#add(history, at);
    this.#shown = history.length;
    this.chart.setAttribute("viewBox", `0 0 ${Math.max(history.length, 1)} ${HEIGHT}`);
    this.title.textContent = this.#say(history.at(-1));
  }

  #add(history, at) {
    for (let end = 0; end < POINTS; end += 1) {
      const point = this.chart.createSVGPoint();
      point.x = at + end;
      point.y = HEIGHT - EDGE - history[at].confidence * (HEIGHT - 2 * EDGE);
      this.#line.points.appendItem(point);
    }
    if (at === 0 || history[at].answer === history[at - 1].answer) return;
    const mark = svg("line", { class: "change", x1: at, x2: at, y1: 0, y2: HEIGHT });
    this.#changes.append(mark);
    this.#marks.push({ trial: at, mark });
  }

  #say(last) {
    if (!last) return "Confidence over the trials";
    const changes = this.#marks.length;
    const times = changes === 1 ? "once" : `${changes} times`;
    return `Confidence over ${this.#shown} trials, now ${(100 * last.confidence).toFixed(0)} %; the answer changed ${times}`;
  }
}
