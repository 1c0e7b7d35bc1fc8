// A search as a fold over its events; pure. The same events in the same order give the same tree,
// so a moment of the past is the fold of the events up to it.

export const ROOT = "root";

export const keyOf = (tree, id) => `${tree ?? 0}/${id}`;

export class SearchModel {
  constructor() {
    this.started = null;
    this.status = "waiting";
    this.nodes = new Map(); // by keyOf(tree, id), parents before children
    this.roots = [];
    this.best = new Set(); // keys of the best path's nodes, the problem's too
    this.progress = null;
    this.history = []; // confidence after each trial
    this.solution = null;
    this.error = null;
    this.trials = 0;
    this.totals = new Map(); // by tree: the votes at its root, counted
  }

  static fold(events) {
    const model = new SearchModel();
    for (const event of events) model.apply(event);
    return model;
  }

  get running() {
    return this.status === "waiting" || this.status === "running";
  }

  get guided() {
    return Boolean(this.started?.ppm);
  }

  apply({ type, data }) {
    if (type === "started") this.#start(data);
    else if (type === "trial") this.#trial(data);
    else if (type === "finished") this.#finish(data);
    else if (type === "failed") {
      this.status = "failed";
      this.error = data.error;
    }
  }

  #start(data) {
    this.started = data;
    this.status = "running";
    this.#root(0);
  }

  #root(tree) {
    const key = keyOf(tree, ROOT);
    if (this.nodes.has(key)) return;
    const root = {
      key, id: ROOT, tree, parent: null, depth: 0, text: "", code: "", output: "", error: "",
      outcome: "open", visits: 0, value: 0, votes: {}, storedQ: 0, children: [],
    };
    this.nodes.set(key, root);
    this.roots.push(root);
  }

  #trial(data) {
    const tree = data.tree ?? 0;
    this.#root(tree);
    for (const view of data.nodes) {
      const key = keyOf(tree, view.id);
      if (this.nodes.has(key)) continue;
      const node = { ...view, key, tree, value: 0, votes: {}, storedQ: view.q, children: [] };
      this.nodes.set(key, node);
      this.nodes.get(keyOf(tree, view.parent))?.children.push(node);
    }
    for (const update of data.updates) {
      const node = this.nodes.get(keyOf(tree, update.id));
      if (node) Object.assign(node, { visits: update.visits, value: update.value, votes: update.votes, storedQ: update.q });
    }
    this.totals.set(tree, sum(Object.values(this.nodes.get(keyOf(tree, ROOT)).votes)));
    const path = data.best.length ? [ROOT, ...data.best] : [];
    this.best = new Set(path.map((id) => keyOf(data.best_tree, id)));
    this.progress = data.progress;
    this.trials += 1;
    this.history.push({ at: data.at, confidence: data.progress.confidence, answer: data.progress.answer });
  }

  #finish(data) {
    this.solution = data.solution;
    this.status = data.solution.stop_reason === "cancelled" ? "cancelled" : "finished";
  }

  isBest(node) {
    return this.best.has(node.key);
  }

  // Without a PPM a solution is worth 2p - 1, p being the share of all solutions that agree with it,
  // so every Q moves with the votes at the root.
  q(node) {
    if (this.guided || !node.visits) return node.storedQ;
    const total = this.totals.get(node.tree);
    if (!total) return node.value / node.visits;
    const all = this.nodes.get(keyOf(node.tree, ROOT)).votes;
    let [own, agreeing] = [0, 0];
    for (const answer in node.votes) {
      own += node.votes[answer];
      agreeing += node.votes[answer] * (all[answer] ?? 0);
    }
    return (node.value - own + (2 * agreeing) / total) / node.visits;
  }

  // The answers so far by falling weight: the solution's own once it is there, before that by votes.
  alternatives() {
    if (this.solution) return this.solution.alternatives;
    const votes = {};
    for (const root of this.roots) {
      for (const [answer, n] of Object.entries(root.votes)) votes[answer] = (votes[answer] ?? 0) + n;
    }
    const total = sum(Object.values(votes)) || 1;
    return Object.entries(votes)
      .map(([answer, n]) => ({ answer, weight: n / total, trajectories: n }))
      .sort((a, b) => b.weight - a.weight || (a.answer < b.answer ? -1 : 1));
  }

  get usage() {
    return this.solution?.usage ?? this.progress?.usage ?? null;
  }

  get answer() {
    return this.solution ? this.solution.answer : this.progress?.answer ?? null;
  }

  get confidence() {
    return this.solution ? this.solution.confidence : this.progress?.confidence ?? 0;
  }
}

function sum(values) {
  return values.reduce((a, b) => a + b, 0);
}
