// So many POST /solve at once against scripted models, each user once or more; see docs/results.md.
//   k6 run -e URL=http://127.0.0.1:8000 -e USERS=200 rstar/bench/solve.js
// The models take no time, so all of a request's duration is the platform's own: `outside` is what
// of it lies before and after the search (HTTP, admission, waiting for the log's end).
import http from "k6/http";
import { check } from "k6";
import { Counter, Trend } from "k6/metrics";

const users = Number(__ENV.USERS || 200);
const rounds = Number(__ENV.ROUNDS || 1);
const tokens = Number(__ENV.TOKENS || 64);
const candidates = Number(__ENV.CANDIDATES || 32);

const outside = new Trend("outside", true);
const nodes = new Counter("nodes");

export const options = {
  scenarios: {
    solve: { executor: "per-vu-iterations", vus: users, iterations: rounds, maxDuration: "10m" },
  },
  thresholds: { checks: ["rate==1"], http_req_failed: ["rate==0"] },
  summaryTrendStats: ["min", "med", "p(95)", "p(99)", "max"],
};

export default function () {
  const body = {
    problem: `Arithmetic for user ${__VU}, round ${__ITER}.`,
    budget: { rollouts: 10000, tokens: tokens, seconds: 300 },
    search: { candidates: candidates, expansion: "step", seed: __VU * 1000003 + __ITER },
  };
  const reply = http.post(`${__ENV.URL}/solve`, JSON.stringify(body), {
    headers: { "Content-Type": "application/json" },
    timeout: "360s",
  });
  const solved = check(reply, {
    "is 200": (r) => r.status === 200,
    "ended by its budget": (r) => r.status === 200 && r.json("stop_reason") === "tokens",
  });
  if (solved) {
    outside.add(reply.timings.duration - 1000 * reply.json("usage.seconds"));
    nodes.add(reply.json("usage.nodes"));
  }
}

export function handleSummary(data) {
  const value = (name, key) => (data.metrics[name] ? data.metrics[name].values[key] : null);
  const trend = (name) => ({
    p50: value(name, "med"),
    p95: value(name, "p(95)"),
    p99: value(name, "p(99)"),
    max: value(name, "max"),
  });
  const figures = {
    requests: value("http_reqs", "count"),
    failed: value("checks", "fails"),
    nodes: value("nodes", "count"),
    request_ms: trend("http_req_duration"),
    outside_search_ms: trend("outside"),
  };
  return { stdout: JSON.stringify(figures) + "\n" };
}
