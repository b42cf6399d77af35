// What moves: the player that lets a window slide step by step, and the arrows between grids.

import { calm, html, refill, svg } from "./dom.js";

const STEP = 900;
const CALM_STEP = 1600;

/** Buttons and a slider that go through steps; `onstep(i, playing)` is told each one. */
export class Player {
  constructor({ label, onstep }) {
    this.onstep = onstep;
    this.timer = null;
    const button = (name, text, act) =>
      html("button", { type: "button", "aria-label": name, title: name, onclick: act }, text);
    this.back = button("previous step", "◂", () => this.#by(-1));
    this.play = button("play", "▶", () => (this.timer === null ? this.start() : this.stop()));
    this.next = button("next step", "▸", () => this.#by(1));
    this.slider = html("input", { type: "range", min: 0, "aria-label": label,
      oninput: () => this.#to(Number(this.slider.value)) });
    this.said = html("output", { class: "said" });
    this.element = html("div", { class: "player", role: "group", "aria-label": label },
      this.back, this.play, this.next, this.slider, this.said);
  }

  /** Says how many steps there are and which one is shown. */
  show(count, at) {
    this.count = count;
    this.at = at;
    this.slider.max = count - 1;
    this.slider.value = at;
    this.said.textContent = `${at + 1} of ${count}`;
    for (const one of [this.back, this.play, this.next, this.slider]) {
      one.disabled = count < 2;
    }
  }

  start() {
    if (this.timer === null) {
      this.#name("pause", "❚❚");
      if (this.at === this.count - 1) {
        this.onstep(0, true);
      }
      this.timer = setInterval(() => {
        if (this.at + 1 >= this.count || !this.element.isConnected) {
          this.stop();
        } else {
          this.onstep(this.at + 1, true);
        }
      }, calm() ? CALM_STEP : STEP);
    }
  }

  /** Ends what plays, wherever it is. */
  stop() {
    if (this.timer !== null) {
      clearInterval(this.timer);
      this.timer = null;
      this.#name("play", "▶");
      this.onstep(this.at, false);
    }
  }

  get playing() {
    return this.timer !== null;
  }

  #name(name, text) {
    this.play.setAttribute("aria-label", name);
    this.play.title = name;
    this.play.textContent = text;
  }

  #by(step) {
    this.#to((this.at + step + this.count) % this.count);
  }

  #to(step) {
    this.stop();
    this.onstep(step, false);
  }
}

/** An arrow from one point to another, ending this far before it. */
function arrow([x, y], [toX, toY], before, strong) {
  const far = Math.hypot(toX - x, toY - y) || 1;
  const [alongX, alongY] = [(toX - x) / far, (toY - y) / far];
  const [endX, endY] = [toX - alongX * before, toY - alongY * before];
  const [backX, backY] = [endX - alongX * 8, endY - alongY * 8];
  const tip = [[endX, endY], [backX - alongY * 4, backY + alongX * 4],
    [backX + alongY * 4, backY - alongX * 4]];
  return svg("g", { class: strong ? "arrow strong" : "arrow" },
    svg("line", { x1: x, y1: y, x2: backX, y2: backY }),
    svg("polygon", { points: tip.map((point) => point.join()).join(" ") }));
}

/**
 * Arrows from cells to a cell of the grids that `area` holds: quiet ones behind the cells, strong
 * ones before them. `layers` belong into the area, after all else that it holds.
 */
export class Arrows {
  constructor(area) {
    this.area = area;
    this.layers = ["under", "over"].map((name) =>
      svg("svg", { class: `arrows ${name}`, "aria-hidden": "true" }));
    new ResizeObserver(() => this.#draw()).observe(area);
  }

  /** @param pairs function that gives [{from: DOMRect, to: DOMRect, strong}]. */
  show(pairs) {
    this.pairs = pairs;
    this.#draw();
  }

  #draw() {
    if (!this.pairs || !this.area.isConnected) {
      return;
    }
    const around = this.area.getBoundingClientRect();
    const middle = ({ left, top, width, height }) =>
      [left + width / 2 - around.left, top + height / 2 - around.top];
    const there = this.pairs().filter(({ from, to }) => from && to);
    const drawn = there.map(({ from, to, strong = false }) =>
      ({ strong, arrow: arrow(middle(from), middle(to), 0.62 * to.width, strong) }));
    this.layers.forEach((layer, over) => refill(layer,
      drawn.filter(({ strong }) => strong === Boolean(over)).map((one) => one.arrow)));
  }
}
