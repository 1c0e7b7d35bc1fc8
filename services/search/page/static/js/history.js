// Past searches: listed page by page, filtered, opened, set side by side.

import * as api from "./api.js";
import { element, withMath } from "./text.js";

export class History {
  #cursor = null;
  #searches = [];

  constructor(section, { onOpen, onCompare }) {
    this.section = section;
    this.body = section.querySelector("tbody");
    this.state = section.querySelector("#history-state");
    this.more = section.querySelector("#history-more");
    this.filter = section.querySelector("#history-filter");
    this.status = section.querySelector("#history-status");
    this.onOpen = onOpen;
    this.onCompare = onCompare;
    this.more.addEventListener("click", () => this.#load());
    this.filter.addEventListener("input", () => this.#draw());
    this.status.addEventListener("change", () => this.open());
  }

  async open() {
    this.#cursor = null;
    this.#searches = [];
    await this.#load();
  }

  async #load() {
    this.state.textContent = "loading…";
    try {
      const page = await api.page({ cursor: this.#cursor, status: this.status.value });
      this.#searches.push(...page.searches);
      this.#cursor = page.next;
      this.state.textContent = "";
    } catch (error) {
      this.state.textContent = error.message;
    }
    this.more.hidden = !this.#cursor;
    this.#draw();
  }

  #draw() {
    const wanted = this.filter.value.trim().toLowerCase();
    const fits = (one) => [one.problem, one.answer ?? "", one.search_id].some((text) => text.toLowerCase().includes(wanted));
    const found = this.#searches.filter(fits);
    this.body.replaceChildren(...found.map((one) => this.#row(one)));
    if (!found.length && !this.state.textContent) this.state.textContent = "no search fits";
    else if (found.length && this.state.textContent === "no search fits") this.state.textContent = "";
  }

  #row(one) {
    const link = element("a", { href: `?search=${encodeURIComponent(one.search_id)}` });
    link.append(withMath(one.problem));
    link.addEventListener("click", (event) => {
      event.preventDefault();
      this.onOpen(one.search_id);
    });
    const beside = element("button", { type: "button" }, "Beside");
    beside.addEventListener("click", () => this.onCompare(one.search_id));
    return element("tr", {},
      element("td", {}, link),
      element("td", {}, one.answer ?? ""),
      element("td", {}, one.stop_reason ? `${one.status} (${one.stop_reason})` : one.status),
      element("td", { class: "n" }, String(one.usage?.policy_tokens ?? "")),
      element("td", {}, new Date(1000 * one.created).toLocaleString()),
      element("td", {}, beside),
    );
  }
}
