// The problem box: what is asked, with the limits and choices that the service itself publishes.

import { withMath } from "./text.js";

const SHAPE = ["candidates", "depth", "exploration", "temperature", "parallel", "seed"];
const CHOICES = ["method", "answer"];
const PREVIEW_MS = 120;

export class Form {
  constructor(form, onAsk) {
    this.form = form;
    this.preview = form.querySelector("#preview");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (form.reportValidity()) onAsk(this.problem());
    });
    form.problem.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
    let timer = 0;
    form.problem.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#showPreview(), PREVIEW_MS);
    });
    this.#showPreview();
  }

  // Fills the choices from the service's own OpenAPI document, so that none is offered that it lacks.
  adopt(openapi) {
    const schemas = openapi.components?.schemas ?? {};
    const options = schemas.SearchOptions?.properties ?? {};
    for (const name of CHOICES) {
      const select = this.form.elements[name];
      const words = enumOf(options[name], schemas);
      select.closest("label").hidden = !words.length;
      select.replaceChildren(...words.map((word) => new Option(word.replaceAll("_", " "), word)));
      if (options[name]?.default) select.value = options[name].default;
    }
    for (const name of SHAPE) {
      const default_ = options[name]?.default;
      if (default_ !== undefined && default_ !== null) this.form.elements[name].placeholder = default_;
    }
    const budget = schemas.Budget?.properties ?? {};
    for (const name of ["tokens", "rollouts", "seconds"]) {
      const field = this.form.elements[name];
      const untouched = field.value === field.defaultValue; // typed before this arrived, it stays
      if (untouched && budget[name]?.default !== undefined) field.value = budget[name].default;
    }
  }

  problem() {
    const { elements } = this.form;
    const search = {};
    for (const name of CHOICES) if (elements[name].value) search[name] = elements[name].value;
    for (const name of SHAPE) if (elements[name].value !== "") search[name] = Number(elements[name].value);
    return {
      problem: elements.problem.value,
      budget: {
        tokens: Number(elements.tokens.value),
        rollouts: Number(elements.rollouts.value),
        seconds: Number(elements.seconds.value),
      },
      search,
    };
  }

  #showPreview() {
    const text = this.form.problem.value;
    this.preview.hidden = !/[$\\]/.test(text);
    this.preview.replaceChildren(withMath(text));
  }
}

function enumOf(property, schemas) {
  if (!property) return [];
  const candidates = [property, ...(property.anyOf ?? []), ...(property.allOf ?? [])];
  for (const one of candidates) {
    const resolved = one.$ref ? schemas[one.$ref.split("/").at(-1)] : one;
    if (resolved?.enum) return resolved.enum;
  }
  return [];
}
