// The run behind the network: learning curves, the checkpoints that were kept, the confusion matrix
// and the images in each of its cells.

import { freshId, html, refill, svg } from "./dom.js";
import { Player } from "./motion.js";

const WIDE = 560;
const HIGH = 220;
const EDGE = { left: 56, right: 12, top: 10, bottom: 30 };
const KINDS = [["loss", "Loss"], ["top1", "Accuracy"]];

const percent = (value) => `${(100 * value).toFixed(2)} %`;

/** Round numbers from low to high, about `count` of them. */
export function ticks(low, high, count = 4) {
  const rough = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((times) => times * power >= rough);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) {
    found.push(Number((i * step).toPrecision(12)));
  }
  return found;
}

/** One metric in training and validation, epoch by epoch, as a picture and as a table. */
function curve(history, [key, title], shownEpoch) {
  const { rows } = history;
  const lines = [["training", key, "train"], ["validation", `val_${key}`, "val"]]
    .filter(([, name]) => rows.some((row) => typeof row[name] === "number"));
  if (!lines.length) {
    return null;
  }
  const values = lines.flatMap(([, name]) => rows.map((row) => row[name]))
    .filter((value) => typeof value === "number");
  const [low, high] = [key === "loss" ? 0 : Math.min(...values), Math.max(...values)];
  const epochs = rows.map((row) => row.epoch);
  const [first, last] = [epochs[0], epochs[epochs.length - 1]];
  const x = (epoch) => EDGE.left + (WIDE - EDGE.left - EDGE.right) * (last > first
    ? (epoch - first) / (last - first) : 0.5);
  const y = (value) => HIGH - EDGE.bottom - (HIGH - EDGE.top - EDGE.bottom) * (high > low
    ? (value - low) / (high - low) : 0.5);
  const told = (value) => (key === "loss" ? String(Number(value.toPrecision(4))) : percent(value));
  const drawn = [
    ...ticks(low, high).map((value) => svg("g", {}, svg("line", { class: "rule", x1: EDGE.left,
      x2: WIDE - EDGE.right, y1: y(value), y2: y(value) }), svg("text", { x: EDGE.left - 6, y: y(value),
      class: "at-left" }, key === "loss" ? String(value) : `${Math.round(1000 * value) / 10} %`))),
    ...ticks(first, last, 8).filter(Number.isInteger).map((epoch) =>
      svg("text", { x: x(epoch), y: HIGH - EDGE.bottom + 16, class: "below" }, String(epoch))),
    ...lines.map(([, name, kind]) => svg("polyline", { class: `curve ${kind}`, points: rows
      .filter((row) => typeof row[name] === "number")
      .map((row) => `${x(row.epoch)},${y(row[name])}`).join(" ") })),
    ...lines.flatMap(([word, name, kind]) => rows.filter((row) => typeof row[name] === "number")
      .map((row) => svg("circle", { class: `point ${kind}`, cx: x(row.epoch), cy: y(row[name]),
        r: rows.length > 60 ? 1.5 : 3.5 },
      svg("title", {}, `${word}, epoch ${row.epoch}: ${told(row[name])}`)))),
    shownEpoch >= first && shownEpoch <= last ? svg("line", { class: "shown-epoch", x1: x(shownEpoch),
      x2: x(shownEpoch), y1: EDGE.top, y2: HIGH - EDGE.bottom }) : null,
    svg("text", { x: (EDGE.left + WIDE - EDGE.right) / 2, y: HIGH - 2, class: "below" }, "epoch"),
  ];
  const name = freshId("curve");
  return html("figure", { class: "curve" }, html("figcaption", { id: name }, `${title}: `,
    lines.map(([word, , kind]) => html("span", { class: `key ${kind}` }, word))),
  svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-labelledby": name }, drawn));
}

/** Every epoch's numbers as a table. */
function table(history) {
  const columns = [["epoch", "epoch", String], ["loss", "training loss", String],
    ["val_loss", "validation loss", String], ["top1", "training accuracy", percent],
    ["val_top1", "validation accuracy", percent], ["learning_rate", "learning rate", String]]
    .filter(([key]) => history.rows.some((row) => typeof row[key] === "number"));
  return html("details", {}, html("summary", {}, "The numbers of every epoch"),
    html("div", { class: "term-list", tabindex: 0, role: "region", "aria-label": "epochs" },
      html("table", { class: "terms" }, html("thead", {}, html("tr", {}, columns.map(([, title]) =>
        html("th", { scope: "col" }, title)))), html("tbody", {}, history.rows.map((row) =>
        html("tr", {}, columns.map(([key, , told]) =>
          html("td", {}, typeof row[key] === "number" ? told(row[key]) : "–"))))))));
}

/** A slider over the checkpoints that were kept; `onepoch(epoch)` is told which one. */
export class Checkpoints {
  constructor({ onepoch }) {
    this.player = new Player({ label: "checkpoints", onstep: (at) => onepoch(this.epochs[at]) });
    this.said = html("span", { class: "which" });
    this.element = html("div", { class: "checkpoints", hidden: true },
      html("span", {}, "Weights after epoch "), this.said, this.player.element);
  }

  show(epochs, epoch) {
    this.epochs = epochs;
    this.element.hidden = epochs.length < 2;
    if (!this.element.hidden) {
      this.said.textContent = epoch < 0 ? "(not known)" : epoch === 0 ? "0, untrained" : String(epoch);
      this.player.show(epochs.length, Math.max(0, epochs.indexOf(epoch)));
    }
  }

  stop() {
    this.player.stop();
  }
}

/** What became of the training; `onshow(promise of a description)` is told of an image to look at. */
export class Run {
  constructor({ source, onshow }) {
    Object.assign(this, { source, onshow });
    this.curves = html("section", { class: "sheet", "aria-label": "learning curves" });
    this.matrix = html("section", { class: "sheet", "aria-label": "confusion matrix" });
    this.images = html("section", { class: "sheet", "aria-label": "images of a cell", hidden: true });
    this.element = html("div", { class: "run" }, this.curves, this.matrix, this.images);
  }

  /** Whether there is anything to show. */
  static has(scene) {
    return Boolean(scene.told.history || scene.told.confusion || scene.source.can("confusion"));
  }

  show(scene) {
    this.scene = scene;
    const { history, epoch, gallery, confusion } = scene.told;
    this.curves.hidden = !history;
    if (history) {
      refill(this.curves, html("h2", {}, "Learning curves"), html("p", { class: "hint" },
        `Best epoch by ${history.watched.replace("val_", "validation ").replace("top1", "accuracy")}: `
        + `${history.best}; the upright dotted line marks the epoch whose weights `
        + "are shown."),
      html("div", { class: "curves" }, KINDS.map((kind) => curve(history, kind, epoch))), table(history));
    }
    this.matrix.hidden = !confusion && !this.source.can("confusion");
    if (this.matrix.hidden || (this.measured && this.measured.epoch === epoch)) {
      return;
    }
    this.measured = null;
    this.images.hidden = true;
    if (confusion) {
      this.#matrix(confusion);
      return;
    }
    const many = gallery ? `${gallery.count.toLocaleString("en")} ${gallery.part} images` : "images";
    const button = html("button", { type: "button", onclick: () => this.#measure(button) },
      `Measure the ${many}`);
    refill(this.matrix, html("h2", {}, "Confusion matrix"), html("p", { class: "hint" },
      "Which classes these weights take for which others."), button);
  }

  async #measure(button) {
    button.disabled = true;
    button.textContent = "The network looks at the images …";
    try {
      this.#matrix(await this.source.ask("confusion", {}));
    } catch (error) {
      refill(this.matrix, html("h2", {}, "Confusion matrix"), html("p", { class: "warning" }, error.message));
    }
  }

  #matrix(told) {
    this.measured = told;
    const { counts, part, images, accuracy } = told;
    const { scene } = this;
    const names = counts.map((_, number) => scene.className(number));
    const totals = counts.map((row) => row.reduce((sum, one) => sum + one, 0));
    const opens = this.source.can("cell");
    const cells = counts.map((row, i) => html("tr", {}, html("th", { scope: "row" }, names[i]),
      row.map((number, j) => {
        const words = `${number} of ${totals[i]} of ${names[i]} taken for ${names[j]}`;
        const cell = number && opens ? html("button", { type: "button", "aria-label": words, title: words,
          onclick: () => this.#cell(i, j) }, String(number))
          : html("span", { title: words }, number ? String(number) : "·");
        const place = html("td", { class: i === j ? "right" : null }, cell);
        const share = totals[i] ? Math.round(60 * number / totals[i]) : 0;
        const colour = i === j ? "blue" : "orange";
        place.style.background = share
          ? `color-mix(in oklab, var(--${colour}) ${Math.max(6, share)}%, var(--cell))` : "";
        return place;
      })));
    refill(this.matrix, html("h2", {}, "Confusion matrix"),
      html("p", { class: "hint" }, `${images.toLocaleString("en")} ${part} images, ${percent(accuracy)} `
        + "recognised (the blue diagonal). A row is what an image is, a column what it is taken for"
        + `${opens ? "; a number opens its images" : ""}.`),
      html("div", { class: "term-list", tabindex: 0, role: "region", "aria-label": "images by class" },
        html("table", { class: "confusion" }, html("thead", {}, html("tr", {},
          html("td", {}, "is ↓ · taken for →"), names.map((name) => html("th", { scope: "col" }, name)))),
        html("tbody", {}, cells))));
  }

  async #cell(row, column, first = 0) {
    this.images.hidden = false;
    refill(this.images, html("p", { class: "hint" }, "The images are being fetched …"));
    let told;
    try {
      told = await this.source.ask("cell", { true: row, predicted: column, first });
    } catch (error) {
      refill(this.images, html("p", { class: "warning" }, error.message));
      return;
    }
    const { scene } = this;
    const heading = html("h2", { tabindex: -1 }, row === column
      ? `${told.count} images of ${scene.className(row)}, recognised`
      : `${told.count} images of ${scene.className(row)}, taken for ${scene.className(column)}`);
    const end = first + told.images.length;
    refill(this.images, heading, html("p", { class: "hint" },
      "The most certain first; click one to see how the network comes to it."),
    html("div", { class: "thumbnails" }, told.images.map((image) => this.#image(image))),
    end < told.count ? html("button", { type: "button", onclick: () => this.#cell(row, column, end) },
      `the next ${Math.min(told.count - end, told.images.length)} of ${told.count}`) : null);
    heading.focus();
    heading.scrollIntoView({ block: "nearest" });
  }

  #image({ number, name, probability, shape, pixels }) {
    const [rows, columns, channels] = shape;
    const canvas = html("canvas", { width: columns, height: rows, "aria-hidden": "true" });
    const bytes = Uint8Array.from(atob(pixels), (one) => one.charCodeAt(0));
    const data = new ImageData(columns, rows);
    for (let i = 0; i < rows * columns; i += 1) {
      for (let c = 0; c < 3; c += 1) {
        data.data[4 * i + c] = bytes[i * channels + (channels === 3 ? c : 0)];
      }
      data.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(data, 0, 0);
    return html("button", { type: "button", class: "thumbnail", title: name,
      "aria-label": `look at ${name}, ${percent(probability)} certain`,
      onclick: () => this.onshow(this.source.ask("picture", { number })) },
    canvas, html("span", {}, percent(probability)));
  }
}
