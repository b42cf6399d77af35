// Grids of numbers as pictures: cells with heat colours (blue below zero, orange above), padding
// around them, the window that slides, and the cell that is chosen. Up to some hundreds of cells
// are SVG, with every number as text; larger maps are canvas (canvas.js), with the chosen cell's.

import { CanvasGrid } from "./canvas.js";
import { freshId, html, svg } from "./dom.js";
import { brief, parsed, shown } from "./float32.js";

const MOST_CELLS = 400;
const CELL = 46; // in the picture's own units; on the screen it is smaller where cells are many
const LEAST_CELL = 26;
const MOST_WIDTH = 440;

/** How strongly a value is coloured: -1 (blue) to 1 (orange), of the picture's largest size. */
export function heat(value, scale) {
  if (Number.isNaN(value) || !(scale > 0)) {
    return 0;
  }
  return Math.max(-1, Math.min(1, value / scale));
}

/** The largest finite size among numbers; 0 for none. */
export function scaleOf(values) {
  let most = 0;
  for (const value of values) {
    const size = Math.abs(value);
    if (size > most && size < Infinity) {
      most = size;
    }
  }
  return most;
}

/** The colour of a cell, mixed from the style sheet's own colours. */
export function heatColour(value, scale) {
  const strength = heat(value, scale);
  const part = Math.round(Math.abs(strength) ** 0.75 * 62);
  return `color-mix(in oklab, var(--${strength < 0 ? "blue" : "orange"}) ${part}%, var(--cell))`;
}

/** A grid of numbers: SVG for up to some hundreds of cells, canvas above; one interface. */
export function grid(options) {
  const [[top, bottom], [left, right]] = options.padding ?? [[0, 0], [0, 0]];
  const cells = (options.rows + top + bottom) * (options.columns + left + right);
  return cells > (options.most ?? MOST_CELLS) ? new CanvasGrid(options) : new Grid(options);
}

/**
 * A grid of numbers as SVG.
 *
 * Options: `label` (what it is called), `rows`, `columns`, `padding` ([[top, bottom],
 * [left, right]]), `symbol(row, column)` (the name of a cell), `onselect(row, column)`,
 * `onpoint(row, column)` (also with null: nothing is pointed at), `onedit(row, column, value)`,
 * `cell` (pixels of a cell's side at most).
 */
export class Grid {
  constructor(options) {
    this.options = options;
    const { rows, columns, label } = options;
    [[this.top, this.bottom], [this.left, this.right]] = options.padding ?? [[0, 0], [0, 0]];
    this.height = rows + this.top + this.bottom;
    this.width = columns + this.left + this.right;
    this.cells = new Map();
    this.cursor = [0, 0];
    this.title = html("figcaption", { id: freshId("grid") }, label);
    this.frame = svg("rect", { class: "window", rx: 5 });
    this.picture = svg("svg", {
      viewBox: `-3 -3 ${this.width * CELL + 6} ${this.height * CELL + 6}`,
      role: "grid", "aria-labelledby": this.title.id, "aria-rowcount": rows,
      "aria-colcount": columns, onkeydown: (event) => this.#key(event),
    });
    const side = Math.min(options.cell ?? CELL, Math.max(LEAST_CELL, MOST_WIDTH / this.width));
    this.picture.style.width = `${Math.round((this.width * CELL + 6) * side / CELL)}px`;
    this.#draw();
    this.picture.append(this.frame);
    this.holder = html("div", { class: "holder" }, this.picture);
    this.element = html("figure", { class: "grid" }, this.title, this.holder);
    this.frame.style.display = "none";
  }

  #draw() {
    const { rows, columns } = this.options;
    const ring = svg("g", { "aria-hidden": "true", class: "ring" });
    for (let row = -this.top; row < rows + this.bottom; row += 1) {
      for (let column = -this.left; column < columns + this.right; column += 1) {
        if (row < 0 || column < 0 || row >= rows || column >= columns) {
          const cell = this.#cell(row, column, "pad");
          cell.text.textContent = "0";
          ring.append(cell.group);
        }
      }
    }
    this.picture.append(ring);
    for (let row = 0; row < rows; row += 1) {
      const line = svg("g", { role: "row", "aria-rowindex": row + 1 });
      for (let column = 0; column < columns; column += 1) {
        const cell = this.#cell(row, column, "cell");
        const act = (name) => () => this.options[name]?.(row, column);
        cell.group.setAttribute("role", "gridcell");
        cell.group.setAttribute("tabindex", row + column === 0 ? 0 : -1);
        cell.group.addEventListener("click", () => this.#click(row, column));
        cell.group.addEventListener("mouseenter", act("onpoint"));
        cell.group.addEventListener("mouseleave", () => this.options.onpoint?.(null, null));
        cell.group.addEventListener("focus", act("onpoint"));
        cell.group.addEventListener("blur", () => this.options.onpoint?.(null, null));
        line.append(cell.group);
      }
      this.picture.append(line);
    }
  }

  #cell(row, column, kind) {
    const x = (column + this.left) * CELL;
    const y = (row + this.top) * CELL;
    const inset = 1.5;
    const side = CELL - 2 * inset;
    const rect = svg("rect", { x: x + inset, y: y + inset, width: side, height: side, rx: 4 });
    const text = svg("text", { x: x + CELL / 2, y: y + CELL / 2 + 1, class: "number" });
    const called = kind === "cell" ? this.options.symbol?.(row, column) : null;
    const small = called && called.length > 7;
    const name = called ? svg("text", { x: x + (small ? 3.5 : 6), y: y + 12,
      class: small ? "symbol small" : "symbol" }, called) : null;
    if (name) {
      text.setAttribute("y", y + CELL / 2 + 6);
    }
    const group = svg("g", { class: kind }, rect, text, name);
    const cell = { group, rect, text, row, column };
    this.cells.set(`${row},${column}`, cell);
    return cell;
  }

  /** Draws values (flat, row by row); a colour's full strength is `scale`. */
  show(values, scale = scaleOf(values)) {
    const { rows, columns, symbol, onedit } = this.options;
    this.values = values;
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        const { group, rect, text } = this.cells.get(`${row},${column}`);
        const value = values[row * columns + column];
        const short = brief(value);
        text.textContent = short;
        text.classList.toggle("long", short.length > 4);
        text.classList.toggle("longer", short.length > 5);
        text.classList.toggle("longest", short.length > 6);
        rect.style.fill = heatColour(value, scale);
        const name = symbol ? `${symbol(row, column)}, ` : "";
        group.setAttribute("aria-label", `${name}row ${row}, column ${column}: ${shown(value)}`
          + (onedit ? "; Enter to change" : ""));
      }
    }
  }

  /** Gives cells classes: [{row, column, as}] with "used", "winner", "selected" or "later". */
  mark(marks) {
    for (const { group, rect } of this.cells.values()) {
      group.classList.remove("used", "winner", "selected", "later");
      if (group.hasAttribute("role")) {
        group.removeAttribute("aria-selected");
      }
      rect.setAttribute("rx", 4);
    }
    for (const { row, column, as } of marks) {
      const cell = this.cells.get(`${row},${column}`);
      if (!cell) {
        continue;
      }
      cell.group.classList.add(as);
      if (as === "selected") {
        cell.group.setAttribute("aria-selected", "true");
      }
      if (as === "winner") {
        cell.rect.setAttribute("rx", 14);
      }
    }
  }

  /** Draws the outline of a window from one cell to another; null takes it away. */
  outline(box) {
    this.frame.style.display = box ? "" : "none";
    if (!box) {
      return;
    }
    const [[row, column], [lastRow, lastColumn]] = box;
    this.frame.setAttribute("width", (lastColumn - column + 1) * CELL);
    this.frame.setAttribute("height", (lastRow - row + 1) * CELL);
    this.frame.style.transform =
      `translate(${(column + this.left) * CELL}px, ${(row + this.top) * CELL}px)`;
  }

  /** Shows that this cell is what is pointed at elsewhere; null for none. */
  point(row, column) {
    this.pointed?.group.classList.remove("pointed");
    this.pointed = row === null ? null : this.cells.get(`${row},${column}`);
    this.pointed?.group.classList.add("pointed");
  }

  /** Whether a cell is drawn, as a number or in the padding. */
  holds(row, column) {
    return this.cells.has(`${row},${column}`);
  }

  /** Where a cell is on the screen, for arrows; null for one that is not drawn. */
  box(row, column) {
    return this.cells.get(`${row},${column}`)?.rect.getBoundingClientRect() ?? null;
  }

  /** Makes a cell the one that Tab comes to. */
  select(row, column) {
    this.#hold(row, column);
  }

  #hold(row, column) {
    this.cells.get(this.cursor.join())?.group.setAttribute("tabindex", -1);
    this.cursor = [row, column];
    this.cells.get(`${row},${column}`)?.group.setAttribute("tabindex", 0);
  }

  /** A click chooses a cell; a second one on it opens its number, as a second tap on a phone. */
  #click(row, column) {
    const again = this.clicked === `${row},${column}`;
    this.#go(row, column, true);
    this.clicked = again ? null : `${row},${column}`;
    if (again) {
      this.edit(row, column);
    }
  }

  #go(row, column, focus) {
    this.clicked = null;
    this.#hold(row, column);
    if (focus) {
      this.cells.get(`${row},${column}`).group.focus();
    }
    this.options.onselect?.(row, column);
  }

  #key(event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[
      event.key];
    const [row, column] = this.cursor;
    const { rows, columns, onedit } = this.options;
    if (step) {
      event.preventDefault();
      this.#go(Math.max(0, Math.min(rows - 1, row + step[0])),
        Math.max(0, Math.min(columns - 1, column + step[1])), true);
    } else if (onedit && (event.key === "Enter" || event.key === "F2")) {
      event.preventDefault();
      this.edit(row, column);
    } else if (onedit && /^[-.\d]$/.test(event.key) && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      this.edit(row, column, event.key);
    } else if (event.key === " ") {
      event.preventDefault();
      this.#go(row, column, true);
    }
  }

  /** Opens a cell's number for change, where the grid may be edited. */
  edit(row, column, start = null) {
    const { onedit, columns, symbol } = this.options;
    if (!onedit || this.field) {
      return;
    }
    const percent = (part, all) => `${(100 * (part * CELL + 3)) / (all * CELL + 6)}%`;
    const field = html("input", {
      type: "text", class: "cell-edit", autocomplete: "off", spellcheck: "false",
      "aria-label": `new value of ${symbol ? symbol(row, column) : `row ${row}, column ${column}`}`,
      value: start ?? shown(this.values[row * columns + column]),
      oninput: () => field.setAttribute("aria-invalid", String(parsed(field.value) === null)),
      onkeydown: (event) => {
        event.stopPropagation();
        if (event.key === "Enter") {
          close(true);
        } else if (event.key === "Escape") {
          close(false);
        }
      },
      onblur: () => close(true),
    });
    const close = (keep) => {
      if (this.field !== field) {
        return;
      }
      const value = parsed(field.value);
      if (keep && value === null && document.activeElement === field) {
        field.setAttribute("aria-invalid", "true");
        return;
      }
      const held = document.activeElement === field;
      this.field = null;
      field.remove();
      if (keep && value !== null) {
        onedit(row, column, value);
      }
      if (held) {
        this.cells.get(`${row},${column}`).group.focus();
      }
    };
    field.style.left = percent(column + this.left, this.width);
    field.style.top = percent(row + this.top, this.height);
    field.style.width = percent(1, this.width);
    field.style.height = percent(1, this.height);
    this.field = field;
    this.holder.append(field);
    field.focus();
    if (start === null) {
      field.select();
    }
  }
}
