// One node in full.

import { answer, code, element, withMath } from "./text.js";

export function showNode(card, node, model) {
  if (!node) {
    card.replaceChildren(element("p", { class: "quiet" }, "Choose a node of the tree to read its step."));
    return;
  }
  const title = element("h3");
  title.append(node.depth === 0 ? "The problem" : withMath(node.text || "Step"));
  const parts = [title];
  if (node.depth === 0) parts.push(paragraph("problem-text", withMath(model.started?.problem ?? "")));
  if (node.code) parts.push(code(node.code));
  if (node.output) parts.push(labelled("Output", element("pre", {}, node.output)));
  if (node.error) parts.push(labelled("Error", element("pre", { class: "error" }, node.error)));
  if (node.answer) parts.push(labelled("Answer", paragraph("", answer(node.answer))));
  parts.push(figures(node, model));
  card.replaceChildren(...parts);
}

function figures(node, model) {
  const rows = [
    ["Q", model.q(node).toFixed(3)],
    ["Visits", node.visits ?? 0],
    ["PPM score", node.ppm_score?.toFixed(3)],
    ["Mean log-probability", node.depth ? node.mean_logprob?.toFixed(3) : undefined],
    ["Tokens", node.depth ? node.tokens : undefined],
    ["Outcome", node.outcome],
    ["Policy", node.policy],
    ["PPM", node.ppm],
    ["Depth", node.depth],
  ];
  const list = element("dl", { class: "figures" });
  for (const [name, value] of rows) {
    if (value === undefined || value === null || value === "") continue;
    list.append(element("dt", {}, name), element("dd", {}, String(value)));
  }
  return list;
}

function labelled(name, content) {
  return element("div", { class: "labelled" }, element("h4", {}, name), content);
}

function paragraph(className, content) {
  return element("p", { class: className }, content);
}
