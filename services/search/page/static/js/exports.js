// Takes a search away: its solution as Markdown, its tree as JSON and as SVG.

import { svg } from "./text.js";

export function markdown(model) {
  const solution = model.solution;
  const lines = [`# ${model.started?.problem ?? ""}`, ""];
  if (!solution) return [...lines, "Not finished."].join("\n");
  for (const [i, step] of solution.steps.entries()) {
    lines.push(`## ${step.text || `Step ${i + 1}`}`, "");
    if (step.code) lines.push("```python", step.code, "```", "");
    if (step.output) lines.push("```", step.output.replace(/\n$/, ""), "```", "");
  }
  const sure = `${Math.round(100 * solution.confidence)} % of the weight`;
  lines.push(`**Answer:** ${solution.answer === null ? "none" : `$${solution.answer}$ (${sure})`}`, "");
  const { usage, models } = solution;
  lines.push(
    `Search ${solution.search_id}: ${usage.rollouts} rollouts, ${usage.policy_tokens} tokens, ` +
      `${usage.seconds.toFixed(1)} s, stopped: ${solution.stop_reason}; policy ${models.policy}` +
      `${models.ppm ? `, PPM ${models.ppm}` : ""}.`,
    "",
  );
  return lines.join("\n");
}

export function json(model) {
  const nodes = [...model.nodes.values()].map(({ key, children, storedQ, ...node }) => ({
    ...node,
    q: model.q({ ...node, storedQ }),
    best: model.best.has(key),
  }));
  return JSON.stringify({ started: model.started, status: model.status, nodes, solution: model.solution }, null, 2);
}

// The picture as it is seen, with the page's colours written into it.
export function picture(tree) {
  const copy = tree.cloneNode(true);
  const seen = [tree, ...tree.querySelectorAll("*")];
  const made = [copy, ...copy.querySelectorAll("*")];
  for (const [i, element] of seen.entries()) {
    const style = getComputedStyle(element);
    for (const name of ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-family", "display"]) {
      made[i].setAttribute(name, style.getPropertyValue(name));
    }
    for (const { name } of [...made[i].attributes]) {
      if (name.startsWith("aria-") || ["class", "data-key", "id", "role", "tabindex"].includes(name)) made[i].removeAttribute(name);
    }
  }
  const box = tree.getBoundingClientRect();
  // Text in the page's colour, which may be light, stands on the page's ground.
  const ground = getComputedStyle(tree.closest(".pane")).backgroundColor;
  copy.prepend(svg("rect", { width: "100%", height: "100%", fill: ground }));
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", box.width);
  copy.setAttribute("height", box.height);
  return new XMLSerializer().serializeToString(copy);
}

export function save(name, type, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
