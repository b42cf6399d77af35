// Large maps as canvas: one coloured square for each number. Arrow keys and clicks move the chosen
// cell, whose number stands as text below the picture and is read out.

import { freshId, html } from "./dom.js";
import { shown } from "./float32.js";

const WIDEST = 448;

/** The red, green and blue of a colour of the style sheet, as an element of the page has it. */
export function channels(element, name) {
  const text = getComputedStyle(element).getPropertyValue(name).trim();
  const short = text.length === 4;
  const digits = short ? [...text.slice(1)].map((one) => one + one).join("") : text.slice(1);
  return [0, 2, 4].map((from) => Number.parseInt(digits.slice(from, from + 2), 16));
}

/** A grid of numbers as canvas, with the interface of `Grid` in drawing.js; it is not edited. */
export class CanvasGrid {
  constructor(options) {
    this.options = options;
    [[this.top, this.bottom], [this.left, this.right]] = options.padding ?? [[0, 0], [0, 0]];
    this.height = options.rows + this.top + this.bottom;
    this.width = options.columns + this.left + this.right;
    this.cursor = [0, 0];
    this.marks = [];
    this.frame = null;
    this.side = Math.max(1, Math.floor(WIDEST / Math.max(this.width, this.height)));
    this.title = html("figcaption", { id: freshId("map") }, options.label);
    this.said = html("output", { class: "said", "aria-live": "polite" });
    this.canvas = html("canvas", {
      class: "map", tabindex: 0, role: "img",
      width: this.width * this.side, height: this.height * this.side,
      "aria-label": `${options.label}, ${options.rows} by ${options.columns}; `
        + "arrow keys choose a cell",
      onkeydown: (event) => this.#key(event),
      onclick: (event) => this.#choose(...this.#under(event)),
      onmousemove: (event) => this.options.onpoint?.(...this.#under(event)),
      onmouseleave: () => this.options.onpoint?.(null, null),
    });
    this.element = html("figure", { class: "grid" }, this.title, this.canvas, this.said);
    this.dark = window.matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", () => this.#paint());
    // Colours are read from the page, which an element that is not in it yet does not have.
    new ResizeObserver(() => this.#paint()).observe(this.canvas);
  }

  show(values, scale = null) {
    this.values = values;
    this.scale = scale ?? values.reduce((most, value) =>
      (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 0);
    this.#paint();
    this.#say();
  }

  mark(marks) {
    this.marks = marks;
    this.#paint();
  }

  outline(box) {
    this.frame = box;
    this.#paint();
  }

  point(row, column) {
    this.pointed = row === null ? null : [row, column];
    this.#paint();
  }

  select(row, column) {
    this.cursor = [row, column];
    this.#paint();
    this.#say();
  }

  holds(row, column) {
    return row >= -this.top && row < this.height - this.top
      && column >= -this.left && column < this.width - this.left;
  }

  box(row, column) {
    if (!this.holds(row, column)) {
      return null;
    }
    const all = this.canvas.getBoundingClientRect();
    const [wide, high] = [all.width / this.width, all.height / this.height];
    return new DOMRect(all.left + (column + this.left) * wide, all.top + (row + this.top) * high,
      wide, high);
  }

  #under(event) {
    const all = this.canvas.getBoundingClientRect();
    const row = Math.floor((event.clientY - all.top) / all.height * this.height) - this.top;
    const column = Math.floor((event.clientX - all.left) / all.width * this.width) - this.left;
    return [Math.max(0, Math.min(this.options.rows - 1, row)),
      Math.max(0, Math.min(this.options.columns - 1, column))];
  }

  #choose(row, column) {
    this.select(row, column);
    this.options.onselect?.(row, column);
  }

  #key(event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[
      event.key];
    if (step) {
      event.preventDefault();
      const [row, column] = this.cursor;
      this.#choose(Math.max(0, Math.min(this.options.rows - 1, row + step[0])),
        Math.max(0, Math.min(this.options.columns - 1, column + step[1])));
    }
  }

  #say() {
    const [row, column] = this.cursor;
    const value = this.values?.[row * this.options.columns + column];
    this.said.textContent = value === undefined ? ""
      : `row ${row}, column ${column}: ${shown(value)}`;
  }

  #paint() {
    if (!this.values || !this.canvas.isConnected) {
      return;
    }
    const { rows, columns } = this.options;
    const brush = this.canvas.getContext("2d");
    const [cell, blue, orange, ink] = ["--cell", "--blue", "--orange", "--ink"].map((name) =>
      channels(this.canvas, name));
    const pixels = new ImageData(columns, rows);
    this.values.forEach((value, i) => {
      const strength = this.scale > 0 && !Number.isNaN(value)
        ? Math.max(-1, Math.min(1, value / this.scale)) : 0;
      const full = strength < 0 ? blue : orange;
      const part = Math.abs(strength) ** 0.75;
      for (let c = 0; c < 3; c += 1) {
        pixels.data[4 * i + c] = cell[c] + (full[c] - cell[c]) * part;
      }
      pixels.data[4 * i + 3] = 255;
    });
    const small = new OffscreenCanvas(columns, rows);
    small.getContext("2d").putImageData(pixels, 0, 0);
    brush.clearRect(0, 0, this.canvas.width, this.canvas.height);
    brush.imageSmoothingEnabled = false;
    const { side } = this;
    brush.drawImage(small, this.left * side, this.top * side, columns * side, rows * side);
    brush.strokeStyle = `rgb(${ink.join()})`;
    const around = ([row, column], [lastRow, lastColumn], width, dash = []) => {
      brush.lineWidth = width;
      brush.setLineDash(dash);
      brush.strokeRect((column + this.left) * side, (row + this.top) * side,
        (lastColumn - column + 1) * side, (lastRow - row + 1) * side);
    };
    if (this.top + this.bottom + this.left + this.right > 0) {
      const last = [rows + this.bottom - 1, columns + this.right - 1];
      around([-this.top, -this.left], last, 1, [4, 3]);
    }
    for (const { row, column, as } of this.marks) {
      if (as !== "later") {
        around([row, column], [row, column], as === "used" ? 1 : 2);
      }
    }
    if (this.frame) {
      around(...this.frame, 2.5);
    }
    if (this.pointed) {
      around(this.pointed, this.pointed, 2);
    }
    around(this.cursor, this.cursor, 2.5);
  }
}
