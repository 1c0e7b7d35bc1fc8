// The tree as SVG: laid out by d3-hierarchy, folded, walked by keyboard. Marks are kept between
// drawings and write only what changed, so that a trial costs what it changed.

import { hierarchy, tree as layout } from "../vendor/d3-hierarchy.min.mjs";
import { oncePerFrame } from "./frames.js";
import { NodeMark } from "./node_mark.js";
import { svg } from "./text.js";
import { TreeCamera } from "./tree_camera.js";

const ACROSS = 26; // between neighbours, in drawing units
const DOWN = 74; // between levels

export class TreeView {
  #marks = new Map(); // by key, those out of sight too
  #roots = svg("g");
  #folded = new Set();
  #model = null;
  #chosen = null;
  #draws = oncePerFrame(() => this.#draw());

  constructor(element, { onChoose, onOpen }) {
    this.element = element;
    this.onChoose = onChoose;
    this.onOpen = onOpen;
    element.append(this.#roots);
    this.camera = new TreeCamera(element, this.#roots);
    const keyAt = (event) => event.target.closest?.(".dot")?.dataset.key ?? null;
    element.addEventListener("click", (event) => {
      const key = keyAt(event);
      if (key && !this.camera.dragged) this.choose(key);
    });
    element.addEventListener("dblclick", (event) => this.#fold(keyAt(event)));
    element.addEventListener("keydown", (event) => this.#key(event));
  }

  // Draws at once: whoever calls does so once a frame.
  show(model) {
    const before = this.#model;
    this.#model = model;
    if (before !== model) this.#forget();
    this.#draws.now();
  }

  choose(key) {
    this.#marks.get(this.#chosen)?.select(false);
    this.#chosen = key;
    const mark = this.#marks.get(key);
    mark?.select(true);
    if (mark) this.element.setAttribute("aria-activedescendant", mark.element.id);
    else this.element.removeAttribute("aria-activedescendant");
    this.onChoose(this.chosen);
  }

  get chosen() {
    return this.#model?.nodes.get(this.#chosen) ?? null;
  }

  // Another moment is shown: what it does not have yet goes out of sight.
  #forget() {
    const { nodes } = this.#model;
    for (const [key, mark] of this.#marks) if (!nodes.has(key)) mark.remove();
    if (this.#chosen && !nodes.has(this.#chosen)) this.choose(null);
  }

  #draw() {
    const { roots, running } = this.#model;
    if (!roots.length) return;
    const top = roots.length === 1 ? roots[0] : { key: null, children: roots };
    const places = hierarchy(top, (node) => (this.#folded.has(node.key) ? null : node.children));
    layout().nodeSize([ACROSS, DOWN]).separation((a, b) => (a.parent === b.parent ? 1 : 1.4))(places);
    const extent = { left: 0, right: 0, bottom: 0 };
    places.eachBefore((place) => {
      extent.left = Math.min(extent.left, place.x);
      extent.right = Math.max(extent.right, place.x);
      extent.bottom = Math.max(extent.bottom, place.y);
      if (place.data.key) this.#drawNode(place);
    });
    this.camera.follow(extent, running);
  }

  #drawNode(place) {
    const node = place.data;
    const model = this.#model;
    const above = place.parent?.data.key ? place.parent : { x: 0, y: 0, data: {} };
    const mark = this.#marks.get(node.key) ?? this.#make(node);
    mark.hang(this.#marks.get(above.data.key), this.#roots);
    mark.move(place.x - above.x, place.y - above.y);
    Object.assign(mark, { x: place.x, y: place.y });
    mark.show(node, {
      q: Math.round(100 * model.q(node)),
      best: model.isBest(node),
      hidden: this.#folded.has(node.key) ? count(node) : null,
      level: place.depth + 1,
      parent: node.children.length > 0,
    });
  }

  #make(node) {
    const mark = new NodeMark(node);
    this.#marks.set(node.key, mark);
    return mark;
  }

  #fold(key) {
    if (!this.#model?.nodes.get(key)?.children.length) return;
    if (!this.#folded.delete(key)) this.#folded.add(key);
    if (this.#isBelow(this.chosen, key)) this.choose(key);
    this.#draws.later();
  }

  #isBelow(node, key) {
    for (let at = node && this.#parent(node); at; at = this.#parent(at)) if (at.key === key) return true;
    return false;
  }

  #key(event) {
    const node = this.chosen ?? this.#model?.roots[0];
    if (!node || event.ctrlKey || event.metaKey || event.altKey) return;
    const siblings = node.parent === null ? this.#model.roots : this.#parent(node).children;
    const at = siblings.indexOf(node);
    const moves = {
      ArrowUp: () => this.#parent(node),
      ArrowDown: () => (this.#folded.has(node.key) ? null : this.#leading(node)),
      ArrowLeft: () => siblings[at - 1],
      ArrowRight: () => siblings[at + 1],
      Home: () => this.#model.roots[0],
    };
    const acts = {
      " ": () => this.#fold(node.key),
      "+": () => this.camera.zoom(1.25),
      "-": () => this.camera.zoom(0.8),
      0: () => this.camera.fit(),
      Enter: () => {
        this.choose(node.key);
        this.onOpen();
      },
    };
    if (!(event.key in moves) && !(event.key in acts)) return;
    event.preventDefault();
    acts[event.key]?.();
    if (event.key in moves) this.#walk(this.chosen ? moves[event.key]() : node);
  }

  #walk(node) {
    if (!node) return;
    this.choose(node.key);
    const { x, y } = this.#marks.get(node.key);
    this.camera.reveal(x, y);
  }

  #parent(node) {
    return node.parent === null ? null : this.#model.nodes.get(`${node.tree}/${node.parent}`);
  }

  #leading(node) {
    return node.children.find((child) => this.#model.isBest(child)) ?? node.children[0];
  }
}

function count(node) {
  return node.children.reduce((total, child) => total + 1 + count(child), 0);
}
