// One image.
import { Live, ago, byId, clock, duration, element, hideToken, number, rateText, say, setBar, setPill, showBanner, taken, time, who } from "./common.js";
import { drawRate } from "./rate.js";
import { TileMap } from "./map.js";

const id = new URLSearchParams(location.search).get("image_id") ?? "";
const query = `image_id=${encodeURIComponent(id)}`;
const APART = new Set(["groups", "errors", "settled", "map", "map_version", "read_at", "unread", "started_by", "tracker_errors", "history", "silent", "pending_regions"]);
const TIMES = new Set(["start_time", "end_time", "last_write"]);
let known = "";

hideToken();
say(byId("name"), id);
document.title = `${id} · raytracker`;
const map = new TileMap(byId("map"), byId("readout"), query);
for (const [button, factor] of [["zoom-in", 2], ["zoom-out", 0.5], ["zoom-all", 0]]) {
  byId(button).addEventListener("click", () => map.zoom(factor));
}
new Live(() => `/api/image/events?${query}`, show);

function show(told) {
  showBanner(told.error ?? told.unread ?? told.trouble);
  if (!told.image_id) return;
  setPill(byId("status"), told);
  const tiled = told.tile_count != null;
  const part = (name) => (tiled ? told[`tile_${name}`] : told[`region_${name}`]) ?? 0;
  const [count, success, error] = ["count", "success", "error"].map(part);
  const percent = count ? Math.floor((100 * (success + error)) / count) : 0;
  say(byId("percent"), `${percent}%`);
  say(byId("settled"), `${number(success + error)} of ${number(count)} ${tiled ? "tiles" : "regions"} settled`);
  setBar(byId("bar"), success, error, count);
  byId("bar").setAttribute("aria-valuenow", percent);
  showStats(told, tiled, success, error, count);
  byId("map-card").hidden = !told.map;
  if (told.map) map.show(told.map, told.map_version);
  showRate(told, success + error);
  showReasons(told, error);
  showHistory(told.history);
  const attributes = JSON.stringify(Object.entries(told).filter(([name]) => !APART.has(name)));
  if (attributes !== known) showAttributes(JSON.parse(known = attributes), told);
}

function showStats(told, tiled, success, error, count) {
  const regions = (told.region_success ?? 0) + (told.region_error ?? 0);
  const seconds = taken(told);
  const left = told.eta_seconds;
  const stats = [
    ["Success", number(success)],
    ["Failed", number(error), error ? "some" : ""],
    ["Pending", number(Math.max(0, count - success - error))],
    ...(tiled && told.region_count != null ? [["Regions", `${number(regions)} / ${number(told.region_count)}`]] : []),
    ["Duration", seconds == null ? "–" : duration(seconds)],
    told.end_time == null
      ? ["Time left", left == null || told.silent ? "–" : `about ${duration(left)}`]
      : ["Ended", time(told.end_time)],
    ["News", told.last_write == null ? "–" : ago((told.read_at - told.last_write) / 1000)],
    ["By", who(told.started_by) || "–"],
  ];
  const list = byId("stats");
  while (list.children.length < stats.length) {
    const pair = element("div");
    pair.append(element("dt"), element("dd"));
    list.append(pair);
  }
  stats.forEach(([name, value, classes = ""], at) => {
    const [term, text] = list.children[at].children;
    say(term, name);
    say(text, value);
    text.className = classes;
    text.title = value;
  });
}

function showRate(told, settled) {
  const seconds = taken(told);
  const mean = seconds ? settled / seconds : 0;
  const now = drawRate(byId("chart"), told.settled ?? [], told.start_time, mean);
  say(byId("rate-now"), told.end_time == null && now != null ? `${rateText(now)} /s now` : `${rateText(mean)} /s on average`);
  const first = told.settled?.[0]?.[0];
  say(byId("rate-note"), !settled ? "Nothing has been settled yet." : told.end_time != null && told.settled.length < 2
    ? "The average over the whole run: nobody looked while it went on."
    : `Tiles a second, as seen since ${clock(new Date(first))}; before that, the average.`);
}

function showReasons(told, failed) {
  const groups = told.groups ?? [];
  say(byId("reasons-count"), failed ? `${number(failed)} failed` : "");
  const list = byId("reasons");
  while (list.children.length > groups.length) list.lastChild.remove();
  groups.forEach((group, at) => {
    let item = list.children[at];
    if (!item) {
      item = element("li");
      const button = element("button", "reason");
      button.type = "button";
      button.append(element("span", "times"), element("span", "why"), element("span", "tiles muted"));
      button.addEventListener("click", () => map.goTo(item.first));
      item.append(button);
      list.append(item);
    }
    const [times, why, tiles] = item.firstChild.children;
    item.first = group.first;
    say(times, `${number(group.tile_error)} ×`);
    const more = group.others ? " (and others of this class)" : group.alike ? " (and alike)" : "";
    say(why, group.reason == null ? "class not known" : group.reason + more);
    say(tiles, `tiles ${group.tiles}`);
  });
  say(byId("reasons-note"), !failed ? "No tile has failed." : groups.some((group) => group.reason == null)
    ? "Nobody told why the others failed, or the item has no more room for it." : "");
}

function showHistory(runs) {
  byId("history-card").hidden = (runs ?? []).length < 2;
  if (byId("history-card").hidden) return;
  const names = Object.keys(runs[0]);
  const row = (tag, values) => {
    const made = element("tr");
    made.append(...values.map((value) => element(tag, "", value)));
    return made;
  };
  const shown = (run) => names.map((name) => text(name, run[name]));
  byId("history").replaceChildren(row("th", names), ...runs.map((run) => row("td", shown(run))));
}

function showAttributes(attributes, told) {
  const pairs = attributes.filter(([name, value]) => name !== "cost" && value != null && value !== "");
  if (told.cost) pairs.push(["cost", `${number(told.cost.writes)} writes, ${number(told.cost.wcu)} WCU`]);
  if (told.started_by) pairs.push(["started_by", told.started_by]);
  byId("attributes").replaceChildren(...pairs.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", text(name, value))]));
}

function text(name, value) {
  if (value == null) return "";
  if (TIMES.has(name)) return time(value);
  if (name === "expire_time") return time(value * 1000);
  if (name === "processing_duration" || name === "eta_seconds") return duration(value);
  if (typeof value === "object") return JSON.stringify(value);
  return typeof value === "number" ? number(value) : String(value);
}
