// The list of images.
import { Live, ago, byId, duration, element, hideToken, number, say, setBar, setPill, showBanner, taken, who, wordOf } from "./common.js";

const STATUSES = ["STARTED", "IN_PROGRESS", "SUCCESS", "PARTIAL", "FAILED", "CANCELLED"];
const STEP = 200;
const asked = new URLSearchParams(location.search);
const rows = new Map();
let limit = STEP;

hideToken();
asked.delete("token");
byId("search").value = asked.get("q") ?? "";
const chips = new Map([["", chip("all", "")], ...STATUSES.map((each) => [each, chip(wordOf(each), each)]), ["silent", chip("silent", "silent")]]);
byId("chips").append(...[...chips.values()].map((each) => each.button));
const live = new Live(() => `/api/images/events?${asked}&limit=${limit}`, show);

function chip(word, key) {
  const button = element("button", `chip ${key}`);
  button.type = "button";
  const count = element("span", "count", "0");
  button.append(element("span", "", word), count);
  button.addEventListener("click", () => choose(key));
  return { button, count };
}

function choose(key) {
  const chosen = asked.getAll("status");
  if (!key) {
    asked.delete("status");
    asked.delete("silent");
  } else if (key === "silent") {
    asked.has("silent") ? asked.delete("silent") : asked.set("silent", "1");
  } else {
    asked.delete("status");
    const kept = chosen.includes(key) ? chosen.filter((each) => each !== key) : [...chosen, key];
    for (const each of kept) asked.append("status", each);
  }
  ask();
}

function ask() {
  limit = STEP;
  history.replaceState(null, "", asked.size ? `?${asked}` : location.pathname);
  press();
  live.follow();
}

function press() {
  const chosen = asked.getAll("status");
  for (const [key, { button }] of chips) {
    const pressed = key === "silent" ? asked.has("silent") : key ? chosen.includes(key) : !chosen.length && !asked.has("silent");
    button.setAttribute("aria-pressed", pressed);
  }
}

let typing = 0;
byId("search").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    const text = byId("search").value.trim();
    text ? asked.set("q", text) : asked.delete("q");
    ask();
  }, 150);
});
byId("search").form.addEventListener("submit", (event) => event.preventDefault());
byId("more").addEventListener("click", () => {
  limit = Math.min(10000, limit * 2);
  live.follow();
});
press();

function show(told) {
  say(byId("table"), told.table);
  document.title = `${told.table} · raytracker`;
  showBanner(told.trouble);
  for (const [key, { count }] of chips) say(count, number(key ? told.counts[key] ?? 0 : told.count));
  const running = (told.counts.IN_PROGRESS ?? 0) + (told.counts.STARTED ?? 0);
  say(byId("summary"), `${number(told.count)} in this table, ${number(running)} not ended`);
  const left = new Set(rows.keys());
  let before = null;
  for (const job of told.images) {
    const row = rows.get(job.image_id) ?? make(job);
    left.delete(job.image_id);
    fill(row, job, told.read_at);
    const place = before ? before.nextSibling : byId("rows").firstChild;
    if (row.node !== place) byId("rows").insertBefore(row.node, place);
    before = row.node;
  }
  for (const id of left) {
    rows.get(id).node.remove();
    rows.delete(id);
  }
  byId("empty").hidden = told.images.length > 0;
  say(byId("empty"), told.count ? "No image fits. Take back a filter, or search for less." : "No image yet. One appears here as soon as a run begins it.");
  byId("more").hidden = told.fitting <= told.images.length;
  say(byId("more"), `Show more of ${number(told.fitting)}`);
}

function make(job) {
  const node = element("div", "row");
  node.setAttribute("role", "row");
  const link = element("a", "id");
  link.href = `/image?image_id=${encodeURIComponent(job.image_id)}`;
  const at = job.image_id.replace(/\/+$/, "").lastIndexOf("/") + 1;
  link.append(element("span", "path", job.image_id.slice(0, at)), element("span", "name", job.image_id.slice(at)));
  link.title = job.image_id;
  const status = element("span", "pill");
  const bar = element("span", "bar");
  bar.append(element("i", "success"), element("i", "error"));
  const count = element("span", "count");
  const regions = cell("regions", bar, count);
  const row = { node, status, bar, count, failed: cell("failed right"), taken: cell("taken right"), news: cell("news right"), by: cell("by") };
  node.append(cell("image", link), cell("status", status), regions, row.failed, row.taken, row.news, row.by);
  rows.set(job.image_id, row);
  return row;
}

function cell(classes, ...content) {
  const made = element("span", `cell ${classes}`);
  made.setAttribute("role", "cell");
  made.append(...content);
  return made;
}

function fill(row, job, readAt) {
  const success = job.region_success ?? 0;
  const error = job.region_error ?? 0;
  const seconds = taken(job);
  setPill(row.status, job);
  setBar(row.bar, success, error, job.region_count);
  say(row.count, `${number(success + error)} / ${job.region_count == null ? "?" : number(job.region_count)}`);
  say(row.failed, error ? number(error) : "–");
  row.failed.classList.toggle("some", error > 0);
  say(row.taken, seconds == null ? "" : duration(seconds));
  say(row.news, job.last_news == null ? "" : ago((readAt - job.last_news) / 1000));
  say(row.by, who(job.started_by));
  row.by.title = row.by.textContent;
}
