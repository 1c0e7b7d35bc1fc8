// How the tree is looked at: moved by pointers, wheel and buttons. Until a hand moves it, it holds the
// whole tree in sight.

const MIN_SCALE = 0.02;
const MAX_SCALE = 6;
const FAR_SCALE = 0.45; // below it labels are too small to be read
const FITTED_SCALE = 1.4;
const MARGIN = 34; // pixels about a fitted tree
const ROOM = 0.85; // a growing tree is given room to grow, and not moved at each step
const CLICK_PIXELS = 4; // a pointer that moved less has clicked
const WHEEL_PIXELS = 400; // for a factor of e

export class TreeCamera {
  #view = { x: 0, y: 0, k: 1 };
  #extent = { left: 0, right: 0, bottom: 0 };
  #follows = true;
  #box = null;
  #down = new Map(); // pointers by id

  // Whether the pointer's last press was a drag, and its click means nothing.
  dragged = false;

  constructor(element, frame) {
    this.element = element;
    this.frame = frame;
    new ResizeObserver(() => {
      this.#box = element.getBoundingClientRect();
      if (this.#follows) this.#fit(1);
    }).observe(element);
    element.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    element.addEventListener("pointerdown", (event) => this.#press(event));
    element.addEventListener("pointermove", (event) => this.#drag(event));
    for (const name of ["pointerup", "pointercancel"]) {
      element.addEventListener(name, (event) => this.#down.delete(event.pointerId));
    }
  }

  fit() {
    this.#follows = true;
    this.#fit(1);
  }

  // The tree's size, in drawing units from its root; while it grows it is fitted only where it has
  // outgrown the frame.
  follow(extent, growing) {
    const old = this.#extent;
    this.#extent = extent;
    if (!this.#follows || !this.#size()) return;
    if (!growing) this.#fit(1);
    else if (old.right === 0 && old.bottom === 0) this.#fit(ROOM);
    else if (!this.#holds(extent)) this.#fit(ROOM);
  }

  zoom(factor, at = null) {
    this.#follows = false;
    const { width, height, left, top } = this.element.getBoundingClientRect();
    const x = at ? at.x - left : width / 2;
    const y = at ? at.y - top : height / 2;
    const k = clamp(this.#view.k * factor, MIN_SCALE, MAX_SCALE);
    const ratio = k / this.#view.k;
    this.#look({ x: x - (x - this.#view.x) * ratio, y: y - (y - this.#view.y) * ratio, k });
  }

  // Brings a point of the tree into sight, if it is not.
  reveal(x, y) {
    const box = this.#size();
    if (!box) return;
    const view = this.#view;
    const dx = outside(view.x + view.k * x, MARGIN, box.width - MARGIN);
    const dy = outside(view.y + view.k * y, MARGIN, box.height - MARGIN);
    if (!dx && !dy) return;
    this.#follows = false;
    this.#look({ ...view, x: view.x - dx, y: view.y - dy });
  }

  #size() {
    const box = this.#box ?? this.element.getBoundingClientRect();
    return box.width ? box : null;
  }

  #holds({ left, right, bottom }) {
    const { x, y, k } = this.#view;
    const { width, height } = this.#size();
    return x + k * left >= MARGIN && x + k * right <= width - MARGIN && y + k * bottom <= height - MARGIN;
  }

  #fit(room) {
    const box = this.#size();
    if (!box) return;
    const { left, right, bottom } = this.#extent;
    const across = (room * (box.width - 2 * MARGIN)) / (right - left || 1);
    const down = (room * (box.height - 2 * MARGIN)) / (bottom || 1);
    const k = clamp(Math.min(across, down), MIN_SCALE, FITTED_SCALE);
    this.#look({ k, x: box.width / 2 - (k * (left + right)) / 2, y: Math.max(MARGIN, (room * box.height - k * bottom) / 2) });
  }

  #look(view) {
    const { x, y, k } = this.#view;
    if (x === view.x && y === view.y && k === view.k) return;
    this.#view = view;
    this.frame.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.k})`);
    this.element.classList.toggle("far", view.k < FAR_SCALE);
  }

  #wheel(event) {
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY / WHEEL_PIXELS), { x: event.clientX, y: event.clientY });
  }

  #press(event) {
    if (event.button !== 0) return;
    this.#down.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.dragged = false;
  }

  // One pointer pans, two pinch.
  #drag(event) {
    const before = this.#down.get(event.pointerId);
    if (!before) return;
    if (!event.buttons) {
      this.#down.delete(event.pointerId); // let go elsewhere, where it was not heard of
      return;
    }
    const now = { x: event.clientX, y: event.clientY };
    if (!this.dragged && distance(before, now) < CLICK_PIXELS) return;
    // Only a drag is captured: a captured press would take its click from the node below it.
    if (!this.dragged) this.element.setPointerCapture(event.pointerId);
    this.dragged = true;
    this.#follows = false;
    const other = [...this.#down].find(([id]) => id !== event.pointerId)?.[1];
    this.#down.set(event.pointerId, now);
    if (other) {
      const middle = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 };
      this.zoom(distance(now, other) / (distance(before, other) || 1), middle);
    } else {
      this.#look({ ...this.#view, x: this.#view.x + now.x - before.x, y: this.#view.y + now.y - before.y });
    }
  }
}

function distance(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y);
}

function outside(value, low, high) {
  return value < low ? value - low : value > high ? value - high : 0;
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
