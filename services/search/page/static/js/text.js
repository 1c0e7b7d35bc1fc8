// Text of problems and models as DOM: mathematics by KaTeX, code by highlight.js. What a model wrote
// is never taken for markup.

import hljs from "../vendor/highlight/core.min.js";
import python from "../vendor/highlight/python.min.js";

hljs.registerLanguage("python", python);

const MATH = /\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\]|\\\(([\s\S]+?)\\\)|\$((?:\\.|[^$\\])+?)\$/g;

// Text with mathematics in $...$, $$...$$, \(...\) or \[...\] as a fragment.
export function withMath(text) {
  const fragment = document.createDocumentFragment();
  let end = 0;
  for (const match of text.matchAll(MATH)) {
    fragment.append(text.slice(end, match.index));
    const display = match[1] ?? match[2];
    fragment.append(math(display ?? match[3] ?? match[4], display !== undefined, match[0]));
    end = match.index + match[0].length;
  }
  fragment.append(text.slice(end));
  return fragment;
}

// An answer: a bare LaTeX expression, or plain text.
export function answer(text) {
  return /[\\^_{}]/.test(text) ? math(text, false, text) : document.createTextNode(text);
}

function math(latex, displayMode, source) {
  const span = document.createElement("span");
  const katex = globalThis.katex;
  if (!katex) {
    span.textContent = source;
    return span;
  }
  try {
    katex.render(latex, span, { displayMode, throwOnError: true, strict: "ignore", trust: false, maxExpand: 200, maxSize: 20 });
  } catch {
    span.textContent = source; // not LaTeX after all: shown as it is
  }
  return span;
}

export function code(source) {
  const pre = document.createElement("pre");
  const element = document.createElement("code");
  element.className = "hljs";
  // highlight.js escapes what it is given and adds only its own spans.
  element.innerHTML = hljs.highlight(source, { language: "python", ignoreIllegals: true }).value;
  pre.append(element);
  return pre;
}

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(name, attributes = {}) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// crypto.randomUUID is there only over HTTPS and on this machine; the page is served over plain HTTP too.
export function uniqueId(prefix = "id") {
  const words = crypto.getRandomValues(new Uint32Array(4));
  return `${prefix}-${[...words].map((word) => word.toString(16).padStart(8, "0")).join("")}`;
}
