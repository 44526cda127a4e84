// The rate over time: tiles settled a second, from how many were settled when the table was read.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, TOP, FOOT] = [400, 150, 40, 10, 20];
const [LEAST, MOST] = [5000, 90000]; // ms over which a rate is taken
const PART = 0.06; // of a job's age: its flushes come 2 % of it apart

// Draws it; returns the rate now, or null where that isn't known.
export function drawRate(chart, samples, start, mean) {
  const points = rates(samples, start, mean);
  const last = points.at(-1);
  chart.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  if (points.length < 2) {
    chart.replaceChildren();
    return null;
  }
  const [from, until] = [points[0][0], last[0]];
  const most = nice(Math.max(...points.map(([, rate]) => rate), 1e-9));
  const x = (when) => LEFT + ((WIDTH - LEFT - 4) * (when - from)) / Math.max(1, until - from);
  const y = (rate) => HEIGHT - FOOT - ((HEIGHT - FOOT - TOP) * rate) / most;
  const line = points.map(([when, rate], at) => `${at ? "L" : "M"}${x(when).toFixed(1)} ${y(rate).toFixed(1)}`).join("");
  const area = `${line}L${x(until)} ${y(0)}L${x(from)} ${y(0)}Z`;
  const parts = [0, most / 2, most].flatMap((rate) => [
    part("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: y(rate), y2: y(rate) }),
    label(LEFT - 6, y(rate) + 4, "end", short(rate)),
  ]);
  chart.replaceChildren(...parts, part("path", { class: "area", d: area }), part("path", { class: "line", d: line }),
    label(LEFT, HEIGHT - 4, "start", hour(from)), label(WIDTH - 1, HEIGHT - 4, "end", hour(until)));
  return last[0] > samples[0][0] ? last[1] : null;
}

// [ms, tiles a second], from the start: the average until the first sample, then what was seen.
function rates(samples, start, mean) {
  if (!samples.length || !start) return [];
  const [first, settled] = samples[0];
  const before = first > start ? (1000 * settled) / (first - start) : 0;
  const points = first > start ? [[start, before], [first, before]] : [];
  let back = 0;
  for (let at = 1; at < samples.length; at += 1) {
    const over = Math.min(MOST, Math.max(LEAST, PART * (samples[at][0] - start)));
    while (samples[at][0] - samples[back + 1][0] >= over) back += 1;
    const length = samples[at][0] - samples[back][0];
    if (length >= over) points.push([samples[at][0], (1000 * (samples[at][1] - samples[back][1])) / length]);
  }
  return points.map(([when, rate]) => [when, Math.max(0, rate)]);
}

function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 10].map((step) => step * power).find((step) => step >= value);
}

const short = (rate) => rate >= 10000 ? `${rate / 1000}k` : String(+rate.toPrecision(2));
const hour = (when) => new Date(when).toLocaleTimeString("en-GB");

function part(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function label(x, y, anchor, text) {
  const made = part("text", { x, y, "text-anchor": anchor });
  made.textContent = text;
  return made;
}
