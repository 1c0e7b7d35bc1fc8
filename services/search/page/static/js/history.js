// Past searches: listed page by page, found by words, opened, set side by side.

import * as api from "./api.js";
import { element, withMath } from "./text.js";

const TYPING_MS = 150;
const SOUGHT = 20; // so many that fit are looked for at once,
const MOST_READ = 2000; // in so many searches; More reads on
const CUT = 200; // characters of a problem that are listed

export class History {
  #cursor = null;
  #searches = [];
  #reading = 0; // which reading of the list is the newest

  constructor(section, { onOpen, onCompare }) {
    this.section = section;
    this.body = section.querySelector("tbody");
    this.state = section.querySelector("#history-state");
    this.more = section.querySelector("#history-more");
    this.filter = section.querySelector("#history-filter");
    this.status = section.querySelector("#history-status");
    this.onOpen = onOpen;
    this.onCompare = onCompare;
    this.more.addEventListener("click", () => this.#read(1));
    let timer = 0;
    this.filter.addEventListener("input", () => {
      this.#draw();
      clearTimeout(timer);
      timer = setTimeout(() => this.#read(0), TYPING_MS);
    });
    this.status.addEventListener("change", () => this.open());
  }

  async open() {
    this.#cursor = null;
    this.#searches = [];
    await this.#read(1);
  }

  // Reads so many pages, and then on until enough that fit are found: what is sought may be old.
  async #read(pages) {
    const reading = (this.#reading += 1);
    const end = this.#searches.length + MOST_READ;
    const wants = () => this.#words().length > 0 && this.#found().length < SOUGHT && this.#searches.length < end;
    for (let page = 0; page < pages || (this.#cursor && wants()); page += 1) {
      this.state.textContent = "looking…";
      try {
        const found = await api.page({ cursor: this.#cursor, status: this.status.value, limit: 200 });
        if (reading !== this.#reading) return;
        this.#searches.push(...found.searches);
        this.#cursor = found.next;
      } catch (error) {
        if (reading === this.#reading) this.state.textContent = error.message;
        return;
      }
      this.#draw();
    }
    const [found, read] = [this.#found().length, this.#searches.length];
    this.state.textContent = found || !read ? (read ? "" : "none yet") : `none of ${read} searches fits`;
  }

  #words() {
    return this.filter.value.trim().toLowerCase();
  }

  #found() {
    const words = this.#words();
    const fits = (one) => [one.problem, one.answer ?? "", one.search_id].some((text) => text.toLowerCase().includes(words));
    return this.#searches.filter(fits);
  }

  #draw() {
    this.more.hidden = !this.#cursor;
    this.body.replaceChildren(...this.#found().map((one) => this.#row(one)));
  }

  #row(one) {
    const link = element("a", { href: `?search=${encodeURIComponent(one.search_id)}`, class: "asked", dir: "auto" });
    link.append(withMath(one.problem), one.problem.length >= CUT ? "…" : "");
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a tab or window of its own
      event.preventDefault();
      this.onOpen(one.search_id);
    });
    const beside = element("button", { type: "button", "aria-label": `Beside: ${one.problem.slice(0, 60)}` }, "Beside");
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
