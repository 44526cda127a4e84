// The map: a cell for each tile, coloured by its outcome.
import { number, say } from "./common.js";

const OUTCOMES = ["pending", "error", "success"];
const MAX_SCALE = 64; // CSS pixels of a cell
const GAP_FROM = 7; // CSS pixels of a cell from which neighbours are drawn apart

export class TileMap {
  #size = { rows: 0, columns: 0, step: null, block: null };
  #version = -1;
  #cells = new Uint8Array();
  #small = document.createElement("canvas"); // a pixel for each cell
  #coarse = document.createElement("canvas"); // a pixel for several, as the worst of them
  #step = 1; // how many that are, along each side
  #view = { x: 0, y: 0, scale: 0 }; // the cell at the upper left corner, and CSS pixels a cell
  #chosen = null; // {row, column}
  #asked = 0;
  #held = new Map(); // pointers that are down

  constructor(canvas, readout, query) {
    this.canvas = canvas;
    this.readout = readout;
    this.query = query;
    new ResizeObserver(() => this.#fit()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#paint());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) canvas.addEventListener(name, (event) => this.#held.delete(event.pointerId));
    this.#idle();
  }

  // Shows a map of this size, whose cells are fetched if its version is another one.
  async show(size, version) {
    if (version === this.#version) return;
    this.#version = version;
    const answer = await fetch(`/api/image/tiles?${this.query}`);
    if (!answer.ok) {
      this.#version = -1;
      return;
    }
    const cells = new Uint8Array(await answer.arrayBuffer());
    const isOther = size.rows !== this.#size.rows || size.columns !== this.#size.columns;
    if (cells.length !== size.rows * size.columns) return;
    this.#size = size;
    this.#cells = cells;
    if (isOther) {
      this.canvas.style.setProperty("--ratio", Math.min(3, Math.max(0.75, (size.columns * this.#stretch()) / size.rows)));
      this.#view.scale = 0;
    }
    this.#paint();
    if (isOther) this.#fit();
    if (this.#chosen) this.#tell(this.#chosen);
  }

  // 0 shows all.
  zoom(factor, at = { x: this.canvas.clientWidth / 2, y: this.canvas.clientHeight / 2 }) {
    const view = this.#view;
    const least = this.#whole();
    const scale = factor ? Math.min(Math.max(MAX_SCALE, least), Math.max(least, view.scale * factor)) : least;
    const [column, row] = [view.x + at.x / (view.scale * this.#stretch()), view.y + at.y / view.scale];
    this.#view = { x: column - at.x / (scale * this.#stretch()), y: row - at.y / scale, scale };
    this.#draw();
  }

  // Chooses a tile by its number, and brings it into sight.
  async goTo(tile) {
    const answer = await fetch(`/api/image/tile?${this.query}&number=${tile}`);
    if (!answer.ok) return;
    const told = await answer.json();
    if (this.#view.scale < 12) {
      this.zoom(12 / this.#view.scale);
    }
    this.canvas.scrollIntoView({ block: "nearest" });
    this.#choose(told.row, told.column, true);
  }

  // --- what it looks like ---

  // How much wider than high a cell is.
  #stretch() {
    const step = this.#size.step;
    return step && step[0] > 0 && step[1] > 0 ? Math.min(8, Math.max(0.125, step[0] / step[1])) : 1;
  }

  #whole() {
    const { rows, columns } = this.#size;
    return Math.min(this.canvas.clientWidth / (columns * this.#stretch()), this.canvas.clientHeight / rows) || 1;
  }

  #fit() {
    const { canvas } = this;
    const ratio = devicePixelRatio;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    if (!this.#size.rows || !canvas.width) return;
    if (this.#view.scale < this.#whole() * 1.001) this.zoom(0);
    else this.#draw();
  }

  #colour(name) {
    return getComputedStyle(this.canvas).getPropertyValue(`--map-${name}`).trim();
  }

  // Makes a pixel of each cell.
  #paint() {
    const { rows, columns } = this.#size;
    if (!rows) return;
    const colours = OUTCOMES.map((name) => packed(this.#colour(name)));
    fill(this.#small, this.#cells, columns, rows, colours);
    this.#step = Math.ceil(1 / (this.#whole() * devicePixelRatio));
    if (this.#step > 1) {
      const [across, down] = [Math.ceil(columns / this.#step), Math.ceil(rows / this.#step)];
      fill(this.#coarse, worst(this.#cells, columns, rows, this.#step, across, down), across, down, colours);
    }
    this.#draw();
  }

  #draw() {
    const { canvas } = this;
    const { rows, columns, block } = this.#size;
    const view = this.#view;
    if (!rows || !canvas.width) return;
    const [high, wide] = [view.scale, view.scale * this.#stretch()];
    const clamp = (at, count, seen) => seen >= count ? (count - seen) / 2 : Math.min(count - seen, Math.max(0, at));
    view.x = clamp(view.x, columns, canvas.clientWidth / wide);
    view.y = clamp(view.y, rows, canvas.clientHeight / high);
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.scale(devicePixelRatio, devicePixelRatio);
    context.translate(-view.x * wide, -view.y * high);
    context.imageSmoothingEnabled = false;
    if (this.#step > 1 && high * devicePixelRatio < 1) {
      const { width, height } = this.#coarse;
      context.drawImage(this.#coarse, 0, 0, width * this.#step * wide, height * this.#step * high);
    } else {
      context.drawImage(this.#small, 0, 0, columns * wide, rows * high);
    }
    canvas.style.touchAction = view.scale > this.#whole() * 1.01 ? "none" : "pan-y";
    if (Math.min(high, wide) >= GAP_FROM) this.#lines(context, 1, 1, wide, high, this.#colour("gap"), 1);
    if (block && Math.min(block[0] * wide, block[1] * high) >= 10) this.#lines(context, block[0], block[1], wide, high, this.#colour("region"), Math.min(high, wide) >= GAP_FROM ? 2 : 1);
    if (this.#chosen) this.#frame(context, wide, high);
  }

  #lines(context, across, down, wide, high, colour, width) {
    const { rows, columns } = this.#size;
    const view = this.#view;
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    const [right, bottom] = [Math.min(columns, view.x + this.canvas.clientWidth / wide), Math.min(rows, view.y + this.canvas.clientHeight / high)];
    for (let column = Math.max(across, Math.ceil(view.x / across) * across); column < right; column += across) {
      context.moveTo(column * wide, Math.max(0, view.y) * high);
      context.lineTo(column * wide, bottom * high);
    }
    for (let row = Math.max(down, Math.ceil(view.y / down) * down); row < bottom; row += down) {
      context.moveTo(Math.max(0, view.x) * wide, row * high);
      context.lineTo(right * wide, row * high);
    }
    context.stroke();
  }

  #frame(context, wide, high) {
    const { row, column } = this.#chosen;
    const margin = Math.max(0, 6 - high) / 2;
    const box = [column * wide - margin, row * high - margin, wide + 2 * margin, high + 2 * margin];
    for (const [width, name] of [[4, "halo"], [2, "chosen"]]) {
      context.strokeStyle = this.#colour(name);
      context.lineWidth = width;
      context.strokeRect(...box);
    }
  }

  // --- hands ---

  #key(event) {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const zooms = { "+": 2, "=": 2, "-": 0.5, "_": 0.5, 0: 0 };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in steps) {
      const [down, right] = steps[event.key];
      const at = this.#chosen ?? { row: -down, column: -right };
      const far = event.shiftKey ? 10 : 1;
      this.#choose(at.row + down * far, at.column + right * far, true);
    } else if (event.key in zooms) {
      const chosen = this.#chosen;
      this.zoom(zooms[event.key]);
      if (chosen) this.#choose(chosen.row, chosen.column, true);
    } else return;
    event.preventDefault();
  }

  // Only of a map that has the focus, or with Ctrl: else the page could not be scrolled over it.
  #wheel(event) {
    if (!event.ctrlKey && document.activeElement !== this.canvas) return;
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY / 300), { x: event.offsetX, y: event.offsetY });
  }

  #down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.#held.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    this.#point(event);
  }

  #move(event) {
    const before = this.#held.get(event.pointerId);
    const now = { x: event.offsetX, y: event.offsetY };
    if (!before) {
      if (event.pointerType === "mouse") this.#point(event);
      return;
    }
    const other = [...this.#held].find(([pointer]) => pointer !== event.pointerId)?.[1];
    this.#held.set(event.pointerId, now);
    if (other) {
      const far = (at) => Math.hypot(at.x - other.x, at.y - other.y);
      this.zoom(far(now) / Math.max(1, far(before)), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    } else {
      this.#view.x -= (now.x - before.x) / (this.#view.scale * this.#stretch());
      this.#view.y -= (now.y - before.y) / this.#view.scale;
      this.#draw();
    }
  }

  #point(event) {
    const view = this.#view;
    const row = Math.floor(view.y + event.offsetY / view.scale);
    const column = Math.floor(view.x + event.offsetX / (view.scale * this.#stretch()));
    const { rows, columns } = this.#size;
    if (row >= 0 && column >= 0 && row < rows && column < columns) this.#choose(row, column, false);
  }

  #choose(row, column, follows) {
    const { rows, columns } = this.#size;
    if (!rows) return;
    const chosen = { row: Math.min(rows - 1, Math.max(0, row)), column: Math.min(columns - 1, Math.max(0, column)) };
    if (follows) this.#follow(chosen);
    if (this.#chosen?.row !== chosen.row || this.#chosen?.column !== chosen.column) this.#tell(chosen);
    this.#chosen = chosen;
    this.#draw();
  }

  #follow({ row, column }) {
    const view = this.#view;
    const [seenAcross, seenDown] = [this.canvas.clientWidth / (view.scale * this.#stretch()), this.canvas.clientHeight / view.scale];
    if (column < view.x || column + 1 > view.x + seenAcross) view.x = column + 0.5 - seenAcross / 2;
    if (row < view.y || row + 1 > view.y + seenDown) view.y = row + 0.5 - seenDown / 2;
  }

  #idle() {
    say(this.readout, "Point at a tile, or use the arrow keys here: its region, its number and why it failed.");
  }

  // Says what is known of a cell.
  async #tell({ row, column }) {
    const asked = this.#asked += 1;
    await new Promise((done) => setTimeout(done, 30)); // a pointer passes many
    if (asked !== this.#asked) return;
    const answer = await fetch(`/api/image/tile?${this.query}&row=${row}&column=${column}`);
    const told = await answer.json();
    if (asked !== this.#asked) return;
    if (!answer.ok) {
      say(this.readout, `row ${number(row)}, column ${number(column)}: no tile`);
      return;
    }
    const reason = told.outcome === "error" ? `: ${told.reason ?? told.class ?? "reason not kept"}` : "";
    say(this.readout, `Region ${number(told.region)}, tile ${number(told.tile)} (number ${number(told.number)}): ${told.outcome}${reason}`);
  }
}

// The worst outcome of each block of cells: error, else pending, else success, else no tile.
function worst(cells, columns, rows, step, across, down) {
  const ranks = new Uint8Array(256).fill(0);
  [ranks[2], ranks[0], ranks[1]] = [1, 2, 3];
  const outcomes = [255, 2, 0, 1];
  const found = new Uint8Array(across * down);
  for (let row = 0, at = 0; row < rows; row += 1) {
    const first = Math.floor(row / step) * across;
    for (let column = 0; column < columns; column += 1, at += 1) {
      const cell = first + Math.floor(column / step);
      if (ranks[cells[at]] > found[cell]) found[cell] = ranks[cells[at]];
    }
  }
  return found.map((rank) => outcomes[rank]);
}

function fill(canvas, cells, width, height, colours) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let at = 0; at < pixels.length; at += 1) pixels[at] = colours[cells[at]] ?? 0;
  context.putImageData(image, 0, 0);
}

// "#rrggbb" as a pixel of a canvas.
function packed(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const bytes = new Uint8Array([red, green, blue, 255]);
  return new Uint32Array(bytes.buffer)[0];
}
