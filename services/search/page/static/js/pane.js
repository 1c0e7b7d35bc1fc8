// One search on the page: its tree, answer, cards and time slider. Two panes stand side by side.

import * as api from "./api.js";
import { showAnswer } from "./answer_view.js";
import * as exports from "./exports.js";
import { showNode } from "./node_card.js";
import { SearchModel } from "./search_model.js";
import { withMath } from "./text.js";
import { TreeView } from "./tree_view.js";

const WORDS = {
  waiting: "waiting for the first event",
  running: "searching",
  finished: "finished",
  cancelled: "stopped",
  failed: "failed",
};

export class Pane {
  #events = [];
  #model = new SearchModel();
  #live = true; // showing the newest moment, not one of the past
  #leaving = new AbortController();
  #connection = "";
  #drawing = false;

  constructor(id, { onEnd, onClose, onChange }) {
    this.id = id;
    this.onEnd = onEnd;
    this.onChange = onChange;
    const template = document.getElementById("pane-template");
    this.element = template.content.firstElementChild.cloneNode(true);
    this.tree = new TreeView(this.#find(".tree"), (node) => showNode(this.#find(".card"), node, this.shown));
    this.#find(".permalink").href = `?search=${encodeURIComponent(id)}`;
    this.#find(".time").addEventListener("input", () => this.#travel());
    this.element.addEventListener("click", (event) => this.#do(event.target.dataset?.do, onClose));
    this.shown = this.#model;
  }

  get running() {
    return this.#model.status === "waiting" || this.#model.status === "running";
  }

  // Follows the search's log from its beginning; ends with it.
  async run() {
    try {
      await api.follow(
        this.id,
        (event) => this.#take(event),
        (state) => this.#connected(state),
        this.#leaving.signal,
      );
    } catch (error) {
      this.#model.status = "failed";
      this.#model.error = { title: error.message };
      this.#later();
    }
    this.onEnd();
  }

  close() {
    this.#leaving.abort();
    this.element.remove();
  }

  allowClosing(allowed) {
    this.element.querySelector('[data-do="close"]').hidden = !allowed;
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }

  #take(event) {
    this.#events.push(event);
    this.#model.apply(event);
    this.#later();
  }

  #connected(state) {
    this.#connection = state;
    this.#later();
  }

  #later() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  #travel() {
    const time = this.#find(".time");
    const at = Number(time.value);
    this.#live = at >= this.#events.length;
    this.shown = this.#live ? this.#model : SearchModel.fold(this.#events.slice(0, at));
    this.#draw();
  }

  #draw() {
    if (this.#live) this.shown = this.#model;
    const model = this.shown;
    if (model.started) this.#find(".pane-problem").replaceChildren(withMath(model.started.problem));
    this.#find(".pane-state").textContent = this.#state();
    const time = this.#find(".time");
    time.max = this.#events.length;
    if (this.#live) time.value = this.#events.length;
    this.#find(".time-label").textContent = `${model.trials} of ${this.#model.trials} trials`;
    this.tree.show(model);
    showAnswer(this.element, model);
    this.onChange();
  }

  #state() {
    const model = this.#model;
    if (model.status === "failed") return `failed: ${model.error?.detail ?? model.error?.title ?? ""}`;
    if (this.running && this.#connection === "reconnecting") return "connection lost, reconnecting…";
    const why = model.solution ? ` (${model.solution.stop_reason})` : "";
    const led = model.started ? (model.guided ? `, guided by ${model.started.ppm}` : ", unguided") : "";
    return `${WORDS[model.status]}${why}${led}`;
  }

  #do(what, onClose) {
    const name = `rstar-${this.id}`;
    const actions = {
      fit: () => this.tree.fit(),
      in: () => this.tree.zoom(1.25),
      out: () => this.tree.zoom(0.8),
      markdown: () => exports.save(`${name}.md`, "text/markdown", exports.markdown(this.shown)),
      json: () => exports.save(`${name}.json`, "application/json", exports.json(this.shown)),
      svg: () => exports.save(`${name}.svg`, "image/svg+xml", exports.picture(this.#find(".tree"))),
      close: () => onClose(this),
    };
    actions[what]?.();
  }
}
