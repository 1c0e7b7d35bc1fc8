// One search on the page: its tree, answer, cards and time slider. Two panes stand side by side.

import * as api from "./api.js";
import { AnswerView } from "./answer_view.js";
import * as exports from "./exports.js";
import { oncePerFrame } from "./frames.js";
import { NodeCard } from "./node_card.js";
import { SearchModel } from "./search_model.js";
import { uniqueId, withMath } from "./text.js";
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
  #problem = null; // as it is shown
  #draws = oncePerFrame(() => this.#draw());

  constructor(id, { onEnd, onFault, onClose, onChange }) {
    this.id = id;
    this.onEnd = onEnd;
    this.onFault = onFault;
    this.onChange = onChange;
    const template = document.getElementById("pane-template");
    this.element = template.content.firstElementChild.cloneNode(true);
    const title = this.#find(".pane-problem");
    title.id = uniqueId("search");
    this.element.setAttribute("aria-labelledby", title.id);
    this.answer = new AnswerView(this.element);
    this.card = new NodeCard(this.#find(".card"));
    this.tree = new TreeView(this.#find(".tree"), {
      onChoose: (node) => this.card.show(node, this.shown),
      onOpen: () => this.card.focus(),
    });
    this.#find(".card").addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#find(".tree").focus();
    });
    this.#find(".permalink").href = `?search=${encodeURIComponent(id)}`;
    this.#find(".time").addEventListener("input", () => this.#travel());
    this.element.addEventListener("click", (event) => this.#do(event.target.dataset?.do, onClose));
    this.shown = this.#model;
  }

  get running() {
    return this.#model.running;
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
      this.#draws.later();
      this.onFault(error);
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
    this.#draws.later();
  }

  #connected(state) {
    this.#connection = state;
    this.#draws.later();
  }

  #travel() {
    const time = this.#find(".time");
    const at = Number(time.value);
    this.#live = at >= this.#events.length;
    this.shown = this.#live ? this.#model : SearchModel.fold(this.#events.slice(0, at));
    this.#draws.later();
  }

  #draw() {
    if (this.#live) this.shown = this.#model;
    const model = this.shown;
    this.#head(model);
    const time = this.#find(".time");
    time.max = this.#events.length;
    if (this.#live) time.value = this.#events.length;
    const moment = `${model.trials} of ${this.#model.trials} trials`;
    write(this.#find(".time-label"), moment);
    time.setAttribute("aria-valuetext", moment);
    this.tree.show(model);
    this.answer.show(model);
    if (this.tree.chosen) this.card.show(this.tree.chosen, model);
    this.onChange();
  }

  #head(model) {
    write(this.#find(".pane-state"), this.#state());
    if (!model.started || this.#problem === model.started.problem) return;
    this.#problem = model.started.problem;
    this.#find(".pane-problem").replaceChildren(withMath(this.#problem));
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
      fit: () => this.tree.camera.fit(),
      in: () => this.tree.camera.zoom(1.25),
      out: () => this.tree.camera.zoom(0.8),
      alternatives: () => this.answer.toggleAll(this.shown),
      markdown: () => exports.save(`${name}.md`, "text/markdown", exports.markdown(this.shown)),
      json: () => exports.save(`${name}.json`, "application/json", exports.json(this.shown)),
      svg: () => exports.save(`${name}.svg`, "image/svg+xml", exports.picture(this.#find(".tree"))),
      close: () => onClose(this),
    };
    actions[what]?.();
  }
}

// A live region speaks whenever it is written, so it is written only when it says something new.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
