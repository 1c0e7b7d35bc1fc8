// Puts the page together: the form, up to two panes, past searches, reports, the API key.

import * as api from "./api.js";
import { Form } from "./form.js";
import { History } from "./history.js";
import { Pane } from "./pane.js";
import { element } from "./text.js";

const find = (id) => document.getElementById(id);
const panes = [];
const notice = find("notice");
let asking = false;

const form = new Form(find("ask"), ask);
const history_ = new History(find("history"), { onOpen: (id) => show([id]), onCompare: beside });

async function ask(problem) {
  asking = true;
  refresh();
  notice.textContent = "";
  try {
    show([await api.begin(problem)]);
  } catch (error) {
    tell(error);
  } finally {
    asking = false;
    refresh();
  }
}

// The searches on the page are its address, so that it can be kept and passed on.
function show(ids, { push = true } = {}) {
  for (const pane of panes.splice(0)) pane.close();
  for (const id of ids) open(id);
  if (push) remember();
  refresh();
}

function open(id) {
  const pane = new Pane(id, { onEnd: refresh, onFault: tell, onClose: leave, onChange: refresh });
  panes.push(pane);
  find("panes").append(pane.element);
  pane.run();
}

function beside(id) {
  if (panes.length === 2) panes.pop().close();
  open(id);
  remember();
  refresh();
}

function leave(pane) {
  panes.splice(panes.indexOf(pane), 1);
  pane.close();
  remember();
  refresh();
}

function remember() {
  const query = new URLSearchParams();
  if (panes[0]) query.set("search", panes[0].id);
  if (panes[1]) query.set("beside", panes[1].id);
  history.pushState({}, "", panes.length ? `?${query}` : location.pathname);
}

function refresh() {
  const running = panes.filter((pane) => pane.running);
  find("stop").disabled = !running.length;
  find("solve").disabled = asking;
  find("panes").classList.toggle("two", panes.length === 2);
  for (const pane of panes) pane.allowClosing(panes.length === 2);
}

find("stop").addEventListener("click", async () => {
  for (const pane of panes.filter((one) => one.running)) {
    try {
      await api.cancel(pane.id);
    } catch (error) {
      tell(error);
    }
  }
});

function tell(error) {
  notice.textContent = error.message;
  if ((error.status === 401 || error.status === 403) && !find("key-dialog").open) find("key-dialog").showModal();
}

function drawer(button, section, onOpen) {
  find(button).addEventListener("click", () => {
    const opened = find(section).toggleAttribute("hidden") === false;
    find(button).setAttribute("aria-expanded", String(opened));
    if (opened) onOpen();
  });
}

drawer("show-history", "history", () => history_.open());
drawer("show-reports", "reports", () => {});

find("show-key").addEventListener("click", () => {
  find("key").value = api.key.get();
  find("key-dialog").showModal();
});
find("key-dialog").addEventListener("close", () => {
  if (find("key-dialog").returnValue !== "save") return;
  api.key.set(find("key").value.trim());
  notice.textContent = "";
  restore(); // what was refused is asked again
  adopt();
  if (!find("history").hidden) history_.open();
});

addEventListener("popstate", () => restore());

function restore() {
  const query = new URLSearchParams(location.search);
  show([query.get("search"), query.get("beside")].filter(Boolean), { push: false });
}

async function adopt() {
  try {
    form.adopt(await api.options());
  } catch (error) {
    tell(error);
  }
  try {
    const found = await api.reports();
    find("show-reports").hidden = !found.length;
    find("reports").querySelector("ul").replaceChildren(
      ...found.map((one) => element("li", {}, element("a", { href: one.path }, one.title))),
    );
  } catch {
    find("show-reports").hidden = true; // a service that publishes none
  }
}

restore();
adopt();
