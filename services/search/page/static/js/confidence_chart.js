// How sure the search was of its answer, over its trials: a line that grows by a point a trial, and a
// mark where the answer changed.

import { svg } from "./text.js";

const HEIGHT = 60;
const EDGE = 2; // so that the line is whole at 0 and 1

export class ConfidenceChart {
  #line = svg("polyline");
  #changes = svg("g");
  #drawn = 0;
  #marks = []; // by rising trial: {trial, mark}

  constructor(chart) {
    this.chart = chart;
    this.title = chart.querySelector("title");
    chart.append(this.#changes, this.#line);
  }

  // A history is one search's: another moment's is the beginning of a later one's.
  show(history) {
    const points = this.#line.points;
    while (points.numberOfItems > history.length) points.removeItem(points.numberOfItems - 1);
    while (this.#marks.length && this.#marks.at(-1).trial >= history.length) this.#marks.pop().mark.remove();
    for (let at = points.numberOfItems; at < history.length; at += 1) this.#add(history, at);
    if (history.length === this.#drawn) return;
    this.#drawn = history.length;
    this.chart.setAttribute("viewBox", `0 0 ${Math.max(history.length - 1, 1)} ${HEIGHT}`);
    this.title.textContent = this.#say(history.at(-1));
  }

  #add(history, at) {
    const point = this.chart.createSVGPoint();
    point.x = at;
    point.y = HEIGHT - EDGE - history[at].confidence * (HEIGHT - 2 * EDGE);
    this.#line.points.appendItem(point);
    if (at === 0 || history[at].answer === history[at - 1].answer) return;
    const mark = svg("line", { class: "change", x1: at, x2: at, y1: 0, y2: HEIGHT });
    this.#changes.append(mark);
    this.#marks.push({ trial: at, mark });
  }

  #say(last) {
    if (!last) return "Confidence over the trials";
    const changes = this.#marks.length;
    const times = changes === 1 ? "once" : `${changes} times`;
    return `Confidence over ${this.#drawn} trials, now ${(100 * last.confidence).toFixed(0)} %; the answer changed ${times}`;
  }
}
