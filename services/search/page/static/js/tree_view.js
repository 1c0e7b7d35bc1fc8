// The tree as SVG: laid out by d3-hierarchy, panned and zoomed, folded, walked by keyboard. Elements
// are kept between drawings, so that a trial costs what it changed.

import { hierarchy, tree as layout } from "../vendor/d3-hierarchy.min.mjs";
import { svg } from "./text.js";

const ACROSS = 26; // between neighbours, in drawing units
const DOWN = 74; // between levels
const MIN_SCALE = 0.02;
const MAX_SCALE = 6;

export class TreeView {
  #frame;
  #links = svg("g", { class: "links", "aria-hidden": "true" });
  #dots = svg("g", { class: "dots" });
  #drawn = new Map(); // by key: {dot, link, shape, label, x, y}
  #folded = new Set();
  #model = null;
  #chosen = null;
  #view = { x: 0, y: 0, k: 1 };
  #follows = true; // the view fits itself until it is moved by hand
  #waiting = false;

  constructor(element, onChoose) {
    this.element = element;
    this.onChoose = onChoose;
    this.#frame = svg("g");
    this.#frame.append(this.#links, this.#dots);
    element.append(this.#frame);
    this.#listen();
  }

  show(model) {
    this.#model = model;
    if (this.#chosen && !model.nodes.has(this.#chosen)) this.choose(null);
    this.#redraw();
  }

  choose(key) {
    this.#drawn.get(this.#chosen)?.dot.classList.remove("chosen");
    this.#drawn.get(this.#chosen)?.dot.setAttribute("aria-selected", "false");
    this.#chosen = key;
    const drawn = this.#drawn.get(key);
    if (drawn) {
      drawn.dot.classList.add("chosen");
      drawn.dot.setAttribute("aria-selected", "true");
      this.element.setAttribute("aria-activedescendant", drawn.dot.id);
    }
    this.onChoose(key ? this.#model.nodes.get(key) : null);
  }

  fit() {
    this.#follows = true;
    this.#fitNow();
  }

  zoom(factor, at = null) {
    this.#follows = false;
    const box = this.element.getBoundingClientRect();
    const x = at ? at.x - box.left : box.width / 2;
    const y = at ? at.y - box.top : box.height / 2;
    const k = clamp(this.#view.k * factor, MIN_SCALE, MAX_SCALE);
    const ratio = k / this.#view.k;
    this.#view = { x: x - (x - this.#view.x) * ratio, y: y - (y - this.#view.y) * ratio, k };
    this.#place();
  }

  // Many events may come within one frame; it is drawn once.
  #redraw() {
    if (this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      this.#draw();
    });
  }

  #draw() {
    const model = this.#model;
    const top = { key: "", children: model.roots };
    const shown = hierarchy(model.roots.length === 1 ? model.roots[0] : top, (node) =>
      this.#folded.has(node.key) ? null : node.children,
    );
    layout().nodeSize([ACROSS, DOWN]).separation((a, b) => (a.parent === b.parent ? 1 : 1.4))(shown);
    const seen = new Set();
    shown.each((place) => {
      if (!place.data.key) return;
      seen.add(place.data.key);
      this.#drawNode(place);
    });
    for (const [key, drawn] of this.#drawn) {
      if (seen.has(key)) continue;
      drawn.dot.remove();
      drawn.link?.remove();
      this.#drawn.delete(key);
    }
    if (this.#follows) this.#fitNow();
  }

  #drawNode(place) {
    const node = place.data;
    const drawn = this.#drawn.get(node.key) ?? this.#make(node);
    const q = this.#model.q(node);
    const best = this.#model.best.has(node.key) || (node.depth === 0 && this.#model.best.size > 0);
    const radius = 4 + Math.min(14, 2.2 * Math.log2(1 + (node.visits || 0)));
    Object.assign(drawn, { x: place.x, y: place.y });
    drawn.dot.setAttribute("transform", `translate(${place.x.toFixed(1)} ${place.y.toFixed(1)})`);
    drawn.shape.setAttribute("d", outline(node, radius));
    drawn.shape.setAttribute("fill", colour(q));
    drawn.dot.classList.toggle("best", best);
    drawn.dot.classList.toggle("folded", this.#folded.has(node.key));
    drawn.dot.setAttribute("aria-level", place.depth + 1);
    drawn.dot.setAttribute("aria-label", describe(node, q, this.#folded.has(node.key)));
    if (node.children.length) drawn.dot.setAttribute("aria-expanded", String(!this.#folded.has(node.key)));
    drawn.label.textContent = node.outcome === "terminal" ? short(node.answer ?? "") : this.#folded.has(node.key) ? `+${count(node)}` : "";
    drawn.label.setAttribute("y", radius + 12);
    if (drawn.link && place.parent?.data.key) {
      const { x, y } = place.parent;
      const middle = (y + place.y) / 2;
      drawn.link.setAttribute("d", `M${x} ${y}C${x} ${middle} ${place.x} ${middle} ${place.x} ${place.y}`);
      drawn.link.classList.toggle("best", best);
    }
  }

  #make(node) {
    const dot = svg("g", { class: `dot ${node.outcome}`, role: "treeitem", "aria-selected": "false", "data-key": node.key });
    dot.id = `dot-${crypto.randomUUID()}`;
    const shape = svg("path");
    const label = svg("text", { "text-anchor": "middle", "aria-hidden": "true" });
    dot.append(shape, label);
    this.#dots.append(dot);
    const link = node.parent === null ? null : svg("path");
    if (link) this.#links.append(link);
    const drawn = { dot, shape, label, link, x: 0, y: 0 };
    this.#drawn.set(node.key, drawn);
    return drawn;
  }

  #fitNow() {
    const box = this.element.getBoundingClientRect();
    const places = [...this.#drawn.values()];
    if (!places.length || !box.width) return;
    let [left, right, bottom] = [0, 0, 0];
    for (const { x, y } of places) {
      left = Math.min(left, x);
      right = Math.max(right, x);
      bottom = Math.max(bottom, y);
    }
    const margin = 34;
    const k = clamp(Math.min((box.width - 2 * margin) / (right - left || 1), (box.height - 2 * margin) / (bottom || 1)), MIN_SCALE, 1.4);
    this.#view = { k, x: box.width / 2 - (k * (left + right)) / 2, y: Math.max(margin, (box.height - k * bottom) / 2) };
    this.#place();
  }

  #place() {
    const { x, y, k } = this.#view;
    this.#frame.setAttribute("transform", `translate(${x} ${y}) scale(${k})`);
    this.element.classList.toggle("far", k < 0.45);
  }

  #fold(key) {
    if (!this.#model.nodes.get(key)?.children.length) return;
    if (!this.#folded.delete(key)) this.#folded.add(key);
    this.#redraw();
  }

  #listen() {
    const keyAt = (event) => event.target.closest?.(".dot")?.dataset.key ?? null;
    this.element.addEventListener("click", (event) => {
      const key = keyAt(event);
      if (key && !this.moved) this.choose(key);
    });
    this.element.addEventListener("dblclick", (event) => {
      const key = keyAt(event);
      if (key) this.#fold(key);
    });
    this.element.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), { x: event.clientX, y: event.clientY });
    }, { passive: false });
    this.element.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#follows && this.#fitNow()).observe(this.element);
    this.#drag();
  }

  // One pointer pans, two pinch.
  #drag() {
    const down = new Map();
    let spread = 0;
    this.moved = false;
    const distance = () => {
      const [a, b] = [...down.values()];
      return Math.hypot(a.x - b.x, a.y - b.y);
    };
    this.element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      down.set(event.pointerId, { x: event.clientX, y: event.clientY });
      this.moved = false;
      if (down.size === 2) spread = distance();
    });
    addEventListener("pointermove", (event) => {
      const before = down.get(event.pointerId);
      if (!before) return;
      const [dx, dy] = [event.clientX - before.x, event.clientY - before.y];
      if (!this.moved && Math.hypot(dx, dy) < 4) return;
      this.moved = true;
      down.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (down.size === 2) {
        const now = distance();
        const [a, b] = [...down.values()];
        this.zoom(now / (spread || now), { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
        spread = now;
        return;
      }
      this.#follows = false;
      this.#view = { ...this.#view, x: this.#view.x + dx, y: this.#view.y + dy };
      this.#place();
    });
    for (const name of ["pointerup", "pointercancel"]) {
      addEventListener(name, (event) => down.delete(event.pointerId));
    }
  }

  #key(event) {
    const key = this.#chosen ?? this.#model?.roots[0]?.key;
    const node = this.#model?.nodes.get(key);
    if (!node) return;
    const siblings = node.parent === null ? this.#model.roots : this.#parent(node).children;
    const at = siblings.indexOf(node);
    const next = {
      ArrowUp: () => this.#parent(node),
      ArrowDown: () => (this.#folded.has(key) ? null : this.#leading(node)),
      ArrowLeft: () => siblings[at - 1],
      ArrowRight: () => siblings[at + 1],
      Home: () => this.#model.roots[0],
      Enter: () => node,
    }[event.key];
    if (event.key === " ") {
      event.preventDefault();
      this.#fold(key);
    } else if (event.key === "+" || event.key === "-") {
      this.zoom(event.key === "+" ? 1.25 : 0.8);
    } else if (next) {
      event.preventDefault();
      const target = this.#chosen ? next() : node;
      if (target) this.choose(target.key);
    }
  }

  #parent(node) {
    return node.parent === null ? null : this.#model.nodes.get(`${node.tree}/${node.parent}`);
  }

  #leading(node) {
    return node.children.find((child) => this.#model.best.has(child.key)) ?? node.children[0];
  }
}

// From orange by grey to blue, which most colour-blind eyes tell apart.
export function colour(q) {
  const low = [221, 107, 32];
  const middle = [160, 165, 175];
  const high = [43, 108, 210];
  const share = clamp(Math.abs(q), 0, 1);
  const end = q < 0 ? low : high;
  return `rgb(${middle.map((value, i) => Math.round(value + (end[i] - value) * share)).join(" ")})`;
}

function outline(node, r) {
  if (node.outcome === "failed" || node.outcome === "limit") {
    return `M${-r} ${-r}L${r} ${r}M${-r} ${r}L${r} ${-r}`;
  }
  if (node.outcome === "terminal") return `M0 ${-1.3 * r}L${1.3 * r} 0L0 ${1.3 * r}L${-1.3 * r} 0Z`;
  return `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`;
}

function describe(node, q, folded) {
  const name = node.depth === 0 ? "The problem" : node.text || "Step";
  const end = { terminal: `, answers ${node.answer}`, failed: ", failed", limit: ", too long" }[node.outcome] ?? "";
  return `${name.slice(0, 120)}: Q ${q.toFixed(2)}, ${node.visits || 0} visits${end}${folded ? ", folded" : ""}`;
}

function count(node) {
  return node.children.reduce((total, child) => total + 1 + count(child), 0);
}

function short(text) {
  return text.length > 12 ? `${text.slice(0, 11)}…` : text;
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
