// What both pages need. Whatever comes from the table goes into text nodes, never into HTML.

const WORDS = { STARTED: "started", IN_PROGRESS: "in progress", SUCCESS: "success", PARTIAL: "partial", FAILED: "failed", CANCELLED: "cancelled" };

export const byId = (id) => document.getElementById(id);
export const number = (value) => value.toLocaleString("en");
export const wordOf = (status) => WORDS[status] ?? status;
export const rateText = (rate) => rate >= 100 ? number(Math.round(rate)) : rate.toFixed(rate >= 10 ? 1 : 2);

export function element(tag, classes = "", text = "") {
  const made = document.createElement(tag);
  if (classes) made.className = classes;
  if (text) made.textContent = text;
  return made;
}

// Touches the page only where something has changed, so that a selection or a focus lasts.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function duration(seconds) {
  seconds = Math.max(0, Math.round(seconds));
  if (seconds < 100) return `${seconds} s`;
  if (seconds < 6000) return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
  const hours = Math.floor(seconds / 3600);
  if (hours < 100) return `${hours} h ${String(Math.floor(seconds / 60) % 60).padStart(2, "0")} min`;
  return `${number(Math.floor(hours / 24))} d`;
}

export function ago(seconds) {
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= 2 * length) return `${number(Math.floor(seconds / length))} ${unit} ago`;
  }
  return `${Math.max(0, Math.floor(seconds))} s ago`;
}

export function time(milliseconds) {
  const date = new Date(milliseconds);
  if (Number.isNaN(date.getTime())) return `${milliseconds} ms`;
  const pad = (part) => String(part).padStart(2, "0");
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  return `${day} ${clock(date)}`;
}

export const clock = (date) => date.toLocaleTimeString("en-GB");

export function who(startedBy) {
  return startedBy ? `${startedBy.user}@${startedBy.host}` : "";
}

// How long an image has taken; while it goes on, up to its last news.
export function taken(job) {
  if (!job.start_time) return null;
  const end = job.end_time ?? job.last_news ?? job.last_write ?? job.start_time;
  return (end - job.start_time) / 1000;
}

export function setPill(pill, job) {
  pill.className = `pill ${job.silent ? "SILENT" : job.status}`;
  say(pill, job.silent ? `${wordOf(job.status)}, silent` : wordOf(job.status));
}

export function setBar(bar, success, error, count) {
  const [good, bad] = bar.children;
  good.style.width = count ? `${(100 * success) / count}%` : "0";
  bad.style.width = count ? `${(100 * error) / count}%` : "0";
}

// The token has become a cookie; it need not stay where it is seen.
export function hideToken() {
  const url = new URL(location.href);
  if (url.searchParams.has("token")) {
    url.searchParams.delete("token");
    history.replaceState(null, "", url);
  }
}

// Follows a stream of events while the page is seen; `path` may change from time to time.
export class Live {
  #source = null;

  constructor(path, told) {
    this.path = path;
    this.told = told;
    document.addEventListener("visibilitychange", () => this.follow());
    addEventListener("pagehide", () => this.#source?.close());
    addEventListener("pageshow", (event) => event.persisted && this.follow());
    this.follow();
  }

  follow() {
    this.#source?.close();
    if (document.hidden) return;
    const source = this.#source = new EventSource(this.path());
    source.onmessage = (event) => {
      const told = JSON.parse(event.data);
      this.#show("on", `live · read ${clock(new Date(told.read_at))}`);
      this.told(told);
    };
    source.onerror = () => {
      const gone = source.readyState === EventSource.CLOSED;
      this.#show("off", gone ? "refused · open the URL that the command printed" : "no answer · trying again");
    };
  }

  #show(state, text) {
    byId("live").className = `live ${state}`;
    say(byId("live"), text);
  }
}

export function showBanner(text) {
  byId("banner").hidden = !text;
  say(byId("banner"), text ?? "");
}
