// A node of the tree as SVG: its shape and label, the link to its parent, and the branch below it.
// A branch moves with its node, so a place is relative to the parent's; only what changed is written.

import { svg, uniqueId } from "./text.js";

export class NodeMark {
  #branch = svg("g", { role: "group" });
  #shape = svg("path", { class: "shape" });
  #link = null;
  #label = null;
  #place = { x: NaN, y: NaN };
  #look = {};

  // x and y are where it stands in the whole tree: the view needs them to bring it into sight.
  x = 0;
  y = 0;

  constructor(node) {
    this.key = node.key;
    this.element = svg("g", {
      class: `dot ${node.outcome}`,
      role: "treeitem",
      "aria-selected": "false",
      "data-key": node.key,
      id: uniqueId("dot"),
    });
    if (node.parent !== null) {
      this.#link = svg("path", { class: "link" });
      this.element.append(this.#link);
    }
    this.element.append(this.#branch, this.#shape);
  }

  // Under its parent's mark, or in the given group where it is a root. A node that comes back, as time
  // is turned, keeps its element.
  hang(parent, roots) {
    const group = parent ? parent.#branch : roots;
    if (this.element.parentNode !== group) group.append(this.element);
  }

  remove() {
    this.element.remove();
  }

  // Tenths are finer than a screen, and coarser than the noise that a layout of other places brings.
  move(right, down) {
    const [x, y] = [tenths(right), tenths(down)];
    if (this.#place.x === x && this.#place.y === y) return;
    this.#place = { x, y };
    this.element.setAttribute("transform", `translate(${x} ${y})`);
    this.#link?.setAttribute("d", `M${-x} ${-y}C${-x} ${-y / 2} 0 ${-y / 2} 0 0`);
  }

  // q in hundredths; hidden is how many nodes are folded away below it, null where none is.
  show(node, { q, best, hidden, level, parent }) {
    const old = this.#look;
    const visits = node.visits || 0;
    if (old.visits === visits && old.q === q && old.best === best && old.hidden === hidden && old.level === level && old.parent === parent) {
      return;
    }
    this.#look = { visits, q, best, hidden, level, parent };
    const radius = 4 + Math.min(14, 2.2 * Math.log2(1 + visits));
    if (old.visits !== visits) this.#shape.setAttribute("d", outline(node, radius));
    if (old.q !== q) this.#shape.setAttribute("fill", colour(q / 100));
    if (old.level !== level) this.element.setAttribute("aria-level", level);
    this.element.classList.toggle("best", best);
    if (old.hidden !== hidden || old.parent !== parent) this.#fold(hidden, parent);
    this.element.setAttribute("aria-label", describe(node, q / 100, best, hidden));
    this.#name(node, radius, hidden);
  }

  select(chosen) {
    this.element.classList.toggle("chosen", chosen);
    this.element.setAttribute("aria-selected", String(chosen));
  }

  // A folded branch leaves the document whole, and comes back whole.
  #fold(hidden, parent) {
    const folded = hidden !== null;
    this.element.classList.toggle("folded", folded);
    if (parent) this.element.setAttribute("aria-expanded", String(!folded));
    else this.element.removeAttribute("aria-expanded");
    if (folded) this.#branch.remove();
    else if (!this.#branch.parentNode) this.#shape.before(this.#branch);
  }

  #name(node, radius, hidden) {
    const text = hidden !== null ? `+${hidden}` : node.outcome === "terminal" ? short(node.answer ?? "") : "";
    if (!text && !this.#label) return;
    if (!this.#label) {
      this.#label = svg("text", { "text-anchor": "middle", "aria-hidden": "true" });
      this.element.append(this.#label);
    }
    if (this.#label.textContent !== text) this.#label.textContent = text;
    this.#label.setAttribute("y", radius + 12);
  }
}

// From orange by grey to blue, which most colour-blind eyes tell apart.
function colour(q) {
  const low = [221, 107, 32];
  const middle = [160, 165, 175];
  const high = [43, 108, 210];
  const share = Math.min(1, Math.abs(q));
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

function describe(node, q, best, hidden) {
  const name = node.depth === 0 ? "The problem" : node.text || "Step";
  const visits = `${node.visits || 0} ${node.visits === 1 ? "visit" : "visits"}`;
  const end = { terminal: `, answers ${node.answer}`, failed: ", failed", limit: ", too long" }[node.outcome] ?? "";
  const path = best ? ", on the best path" : "";
  return `${name.slice(0, 120)}: Q ${q.toFixed(2)}, ${visits}${end}${path}${hidden !== null ? `, ${hidden} folded` : ""}`;
}

function short(text) {
  return text.length > 12 ? `${text.slice(0, 11)}…` : text;
}

function tenths(value) {
  return Math.round(10 * value) / 10;
}
