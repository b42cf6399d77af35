// Small pictures to choose from: one for each channel of a layer, or for each of its filters.

import { channels } from "./canvas.js";
import { html, refill } from "./dom.js";

const FIRST = 64;

/** Paints numbers into a canvas, one pixel each: blue below zero, orange above. */
export function paint(canvas, values, rows, columns, scale) {
  canvas.width = columns;
  canvas.height = rows;
  const [cell, blue, orange] = ["--cell", "--blue", "--orange"].map((name) => channels(canvas, name));
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

/** Buttons with small pictures; `onchoose(number)` is told which one. */
export class Tiles {
  constructor({ label, onchoose }) {
    this.onchoose = onchoose;
    this.element = html("div", { class: "tiles", role: "group", "aria-label": label });
    this.dark = window.matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", () => this.#paint());
  }

  /**
   * Shows pictures.
   *
   * @param word what each is called, before its number.
   * @param count how many there are.
   * @param plane (number) → {rows, columns, values}.
   * @param scale the number of full strength.
   * @param chosen the one that is pressed.
   */
  show({ word, count, plane, scale, chosen }) {
    Object.assign(this, { word, count, plane, scale, chosen });
    this.most = Math.max(FIRST, FIRST * Math.ceil((chosen + 1) / FIRST));
    this.#fill();
  }

  /** Shows which one is chosen. */
  press(chosen) {
    this.chosen = chosen;
    for (const { button, number } of this.made ?? []) {
      button.setAttribute("aria-pressed", String(number === chosen));
    }
  }

  #fill() {
    this.made = [];
    const numbers = Array.from({ length: Math.min(this.count, this.most) }, (_, i) => i);
    const buttons = numbers.map((number) => {
      const { rows, columns, values } = this.plane(number);
      const canvas = html("canvas", { "aria-hidden": "true" });
      const dead = values.every((value) => value === 0);
      const name = `${this.word} ${number}${dead ? ", all zero" : ""}`;
      const button = html("button", { type: "button", class: "tile", "aria-label": name, title: name,
        onclick: () => this.onchoose(number) }, canvas,
      html("span", {}, dead ? `${number} (all 0)` : String(number)));
      this.made.push({ button, number, canvas, values, rows, columns });
      return button;
    });
    if (this.count > this.most) {
      const next = Math.min(FIRST, this.count - this.most);
      buttons.push(html("button", { type: "button", class: "more", onclick: () => {
        this.most += FIRST;
        this.#fill();
      } }, `${next} more of ${this.count}`));
    }
    refill(this.element, buttons);
    this.press(this.chosen);
    // Colours are those of the page, which an element that is not in it yet does not have.
    requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    for (const { canvas, values, rows, columns } of this.made ?? []) {
      if (canvas.isConnected) {
        paint(canvas, values, rows, columns, this.scale);
      }
    }
  }
}
