// The REST API as the page uses it: requests with the key, and event streams that survive a break.

import { uniqueId } from "./text.js";

const KEY = "rstar-api-key";
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8000;

export class ApiError extends Error {
  constructor(problem, status) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

function headers(more = {}) {
  const own = key.get();
  return own ? { ...more, Authorization: `Bearer ${own}` } : more;
}

async function check(response) {
  if (response.ok) return response;
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    problem = { title: response.statusText };
  }
  throw new ApiError(problem, response.status);
}

export async function request(path, { method = "GET", body, signal, head = {} } = {}) {
  const response = await fetch(path, {
    method,
    signal,
    headers: headers(body === undefined ? head : { ...head, "Content-Type": "application/json" }),
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return check(response);
}

// Repeating a lost request with the same key finds the search that it began.
export async function begin(problem) {
  const head = { "Idempotency-Key": uniqueId("page") };
  for (let attempt = 0; ; attempt += 1) {
    try {
      const response = await request("solve", { method: "POST", body: { ...problem, async: true }, head });
      return (await response.json()).search_id;
    } catch (error) {
      if (error instanceof ApiError || attempt === 2) throw error;
      await pause(FIRST_PAUSE_MS * 2 ** attempt);
    }
  }
}

export async function cancel(id) {
  await request(`searches/${encodeURIComponent(id)}`, { method: "DELETE" });
}

export async function summary(id) {
  return (await request(`searches/${encodeURIComponent(id)}`)).json();
}

export async function page({ cursor, status, limit = 50 }) {
  const query = new URLSearchParams({ limit });
  if (cursor) query.set("cursor", cursor);
  if (status) query.set("status", status);
  return (await request(`searches?${query}`)).json();
}

export async function options() {
  return (await request("openapi.json")).json();
}

export async function reports() {
  return (await request("reports")).json();
}

// Calls onEvent({id, type, data}) for each event of a search's log, from its beginning to its end.
// A broken connection is taken up after the last event seen; onState says so.
export async function follow(id, onEvent, onState, signal) {
  let last = "";
  let wait = FIRST_PAUSE_MS;
  for (;;) {
    try {
      const head = last ? { "Last-Event-ID": last } : {};
      const response = await request(`searches/${encodeURIComponent(id)}/events`, { head, signal });
      onState("connected");
      for await (const event of parse(response.body)) {
        wait = FIRST_PAUSE_MS;
        if (event.id) last = event.id;
        onEvent(event);
        if (event.type === "finished" || event.type === "failed") return;
      }
    } catch (error) {
      if (signal.aborted) return;
      const passing = !(error instanceof ApiError) || [429, 502, 503, 504].includes(error.status);
      if (!passing) throw error;
    }
    onState("reconnecting");
    await pause(wait, signal);
    if (signal.aborted) return;
    wait = Math.min(2 * wait, LONGEST_PAUSE_MS);
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

// Server-sent events out of a response body. EventSource itself cannot send an Authorization header.
export async function* parse(body) {
  let rest = "";
  const decoder = new TextDecoder();
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      const blocks = rest.split(/\r?\n\r?\n/);
      rest = blocks.pop();
      for (const block of blocks) {
        const event = parseBlock(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // the connection is gone already
  }
}

function parseBlock(block) {
  const event = { id: "", type: "message", data: null };
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (field === "id") event.id = value;
    else if (field === "event") event.type = value;
    else if (field === "data") data.push(value);
  }
  if (!data.length) return null;
  event.data = JSON.parse(data.join("\n"));
  return event;
}
