// One node in full.

import { answer, code, element, withMath } from "./text.js";

export class NodeCard {
  #node = null;
  #figures = "";

  constructor(card) {
    this.card = card;
    this.empty = [...card.childNodes];
  }

  // The step of a node stays as it is; only its figures move while the search goes on.
  show(node, model) {
    const rows = node ? figures(node, model) : [];
    const same = node?.key === this.#node?.key && Boolean(node) === Boolean(this.#node);
    if (same && JSON.stringify(rows) === this.#figures) return;
    this.#figures = JSON.stringify(rows);
    if (same) this.card.querySelector(".figures").replaceWith(listed(rows));
    else this.card.replaceChildren(...(node ? [...step(node, model), listed(rows)] : this.empty));
    this.#node = node;
  }

  focus() {
    this.card.focus();
  }
}

function step(node, model) {
  const title = element("h3");
  title.append(node.depth === 0 ? "The problem" : withMath(node.text || "Step"));
  const parts = [title];
  if (node.depth === 0) parts.push(paragraph("problem-text", withMath(model.started?.problem ?? "")));
  if (node.code) parts.push(code(node.code));
  if (node.output) parts.push(labelled("Output", scrolled("", "Output", node.output)));
  if (node.error) parts.push(labelled("Error", scrolled("error", "Error", node.error)));
  if (node.answer) parts.push(labelled("Answer", paragraph("", answer(node.answer))));
  return parts;
}

function figures(node, model) {
  const rows = [
    ["Q", model.q(node).toFixed(3)],
    ["Visits", node.visits ?? 0],
    ["PPM score", node.ppm_score?.toFixed(3)],
    ["Mean log-probability", node.depth ? node.mean_logprob?.toFixed(3).replace(/^-(0\.0+)$/, "$1") : undefined],
    ["Tokens", node.depth ? node.tokens : undefined],
    ["Outcome", { limit: "too long", terminal: "answers" }[node.outcome] ?? node.outcome],
    ["Policy", node.policy],
    ["PPM", node.ppm],
    ["Time in policy", seconds(node.seconds?.policy)],
    ["Time in sandbox", seconds(node.seconds?.sandbox)],
    ["Time in PPM", seconds(node.seconds?.ppm)],
    ["Depth", node.depth],
  ];
  return rows.filter(([, value]) => value !== undefined && value !== null && value !== "");
}

// Nothing where a step had no such phase.
function seconds(value) {
  if (!value) return undefined;
  return value < 1 ? `${(1000 * value).toFixed(0)} ms` : `${value.toFixed(1)} s`;
}

function listed(rows) {
  const list = element("dl", { class: "figures" });
  for (const [name, value] of rows) list.append(element("dt", {}, name), element("dd", {}, String(value)));
  return list;
}

function labelled(name, content) {
  return element("div", { class: "labelled" }, element("h4", {}, name), content);
}

// What scrolls must be reached by the keyboard.
function scrolled(className, name, text) {
  return element("pre", { class: className || null, tabindex: 0, role: "region", "aria-label": name }, text);
}

function paragraph(className, content) {
  return element("p", { class: className || null, dir: "auto", tabindex: className ? 0 : null }, content);
}
