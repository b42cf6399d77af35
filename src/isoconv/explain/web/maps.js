// The maps of one layer: every channel as a small picture, one of them large, and a chosen cell.

import { grid, scaleOf } from "./drawing.js";
import { html, refill } from "./dom.js";
import { shown } from "./float32.js";
import { plane } from "./scene.js";

const MOST = 64;
const BAR = 120;

/** Paints numbers as a small picture: blue below zero, orange above, or grey for pixels. */
export function paint(canvas, values, rows, columns, scale) {
  canvas.width = columns;
  canvas.height = rows;
  const style = getComputedStyle(canvas);
  const colour = (name) => {
    const text = style.getPropertyValue(name).trim();
    return [1, 3, 5].map((from) => Number.parseInt(text.slice(from, from + 2), 16));
  };
  const [cell, blue, orange] = ["--cell", "--blue", "--orange"].map(colour);
  const pixels = new ImageData(columns, rows);
  for (let i = 0; i < values.length; i += 1) {
    const strength = scale > 0 && Number.isFinite(values[i])
      ? Math.max(-1, Math.min(1, values[i] / scale)) : 0;
    const full = strength < 0 ? blue : orange;
    const part = Math.abs(strength) ** 0.75;
    for (let c = 0; c < 3; c += 1) {
      pixels.data[4 * i + c] = cell[c] + (full[c] - cell[c]) * part;
    }
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

/** A layer's maps; `onchoose(place)` is told which cell. */
export class Maps {
  constructor({ onchoose }) {
    this.onchoose = onchoose;
    this.heading = html("h2");
    this.facts = html("p", { class: "hint" });
    this.tiles = html("div", { class: "tiles", role: "group", "aria-label": "channels" });
    this.large = html("div", { class: "large" });
    this.element = html("section", { class: "sheet maps" }, this.heading, this.facts,
      html("div", { class: "maps-body" }, this.large, this.tiles));
  }

  /**
   * Shows an array.
   *
   * @param heading, facts what stands above.
   * @param values, shape the array, channels last.
   * @param place the chosen cell.
   */
  show(heading, facts, values, shape, place) {
    this.values = values;
    this.shape = shape;
    this.scale = scaleOf(values);
    this.most = MOST;
    this.heading.textContent = heading;
    this.facts.textContent = facts;
    this.gridFor = "";
    this.choose(place);
    this.#fill();
  }

  /** Shows another cell as the chosen one. */
  choose(place) {
    this.place = place;
    const channel = place[place.length - 1];
    if (this.shape.length === 1) {
      this.#bars(channel);
      return;
    }
    const { rows, columns, values } = plane(this.values, this.shape, channel);
    const [row, column] = [0, 0, ...place.slice(0, -1)].slice(-2);
    const key = `${rows},${columns},${channel}`;
    if (this.gridFor !== key) {
      this.gridFor = key;
      this.grid = grid({ rows, columns, label: `channel ${channel}`,
        onselect: (r, c) => this.onchoose([...[r, c].slice(2 - (this.shape.length - 1)), channel]) });
      refill(this.large, this.grid.element);
      this.grid.show(values, this.scale);
    }
    this.grid.select(row, column);
    this.grid.mark([{ row, column, as: "selected" }]);
    this.#pressed(channel);
  }

  #pressed(channel) {
    for (const tile of this.tiles.querySelectorAll("button[data-channel]")) {
      tile.setAttribute("aria-pressed", String(Number(tile.dataset.channel) === channel));
    }
  }

  #fill() {
    if (this.shape.length === 1) {
      refill(this.tiles);
      return;
    }
    const channels = this.shape[this.shape.length - 1];
    const tiles = [];
    for (let channel = 0; channel < Math.min(channels, this.most); channel += 1) {
      const { rows, columns, values } = plane(this.values, this.shape, channel);
      const canvas = html("canvas", { class: "tile" });
      const dead = values.every((value) => value === 0);
      tiles.push(html("button", { type: "button", class: "tile", "data-channel": channel,
        "aria-label": `channel ${channel}${dead ? ", all zero" : ""}`, title: `channel ${channel}`,
        onclick: () => this.onchoose([...this.place.slice(0, -1), channel]) }, canvas,
      html("span", {}, dead ? `${channel} · 0` : String(channel))));
      requestAnimationFrame(() => paint(canvas, values, rows, columns, this.scale));
    }
    if (channels > this.most) {
      tiles.push(html("button", { type: "button", class: "more", onclick: () => {
        this.most += MOST;
        this.#fill();
      } }, `show ${Math.min(MOST, channels - this.most)} more of ${channels}`));
    }
    refill(this.tiles, tiles);
    this.#pressed(this.place[this.place.length - 1]);
  }

  #bars(chosen) {
    const [count] = this.shape;
    const order = [...this.values.keys()];
    const first = Math.max(0, Math.min(count - BAR, chosen - BAR / 2));
    const rows = order.slice(first, first + BAR).map((i) => {
      const part = this.scale > 0 ? Math.abs(this.values[i]) / this.scale : 0;
      const bar = html("span", { class: this.values[i] < 0 ? "bar below" : "bar" });
      bar.style.width = `${Math.round(part * 100)}px`;
      return html("button", { type: "button", class: "line", "aria-pressed": String(i === chosen),
        onclick: () => this.onchoose([i]) }, html("span", { class: "at" }, String(i)), bar,
      html("span", { class: "value" }, shown(this.values[i])));
    });
    refill(this.large, html("div", { class: "bars" }, rows,
      count > BAR ? html("p", { class: "hint" }, `${first} … ${first + BAR - 1} of ${count}`) : null));
    this.gridFor = "";
  }
}
