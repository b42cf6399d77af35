// The picture that is shown, the rectangle of it that the chosen number sees, what the network takes
// it for, and the ways to another one: a file, a drop, a paste, a drawing.

import { choice, html, refill } from "./dom.js";
import { shown } from "./float32.js";

const MOST_CLASSES = 10;

/** The pixels of an image as a canvas shows them. */
export function paintPicture(canvas, values, shape, [low, high]) {
  const [rows, columns, channels] = shape.length === 3 ? shape : [1, ...shape];
  canvas.width = columns;
  canvas.height = rows;
  const pixels = new ImageData(columns, rows);
  const bytes = low >= 0 && high > 1 && high <= 255;
  const [from, to] = bytes ? [0, 255] : [Math.min(0, low), Math.max(1, high)];
  for (let i = 0; i < rows * columns; i += 1) {
    for (let c = 0; c < 3; c += 1) {
      const value = values[i * channels + (channels >= 3 ? c : 0)];
      pixels.data[4 * i + c] = 255 * (value - from) / (to - from);
    }
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

/** A canvas to draw a digit on, white on black; gives the bytes of `rows` × `columns`. */
class Drawing {
  constructor(rows, columns) {
    Object.assign(this, { rows, columns });
    this.canvas = html("canvas", { class: "drawing", width: 280, height: Math.round(280 * rows / columns),
      "aria-label": "draw here with the mouse, a finger or a pen",
      onpointerdown: (event) => this.#begin(event), onpointermove: (event) => this.#go(event),
      onpointerup: () => { this.last = null; } });
    this.clear();
  }

  clear() {
    const brush = this.canvas.getContext("2d");
    brush.fillStyle = "#000";
    brush.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  #at(event) {
    const around = this.canvas.getBoundingClientRect();
    return [(event.clientX - around.left) / around.width * this.canvas.width,
      (event.clientY - around.top) / around.height * this.canvas.height];
  }

  #begin(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.last = this.#at(event);
    this.#go(event);
  }

  #go(event) {
    if (!this.last) {
      return;
    }
    const at = this.#at(event);
    const brush = this.canvas.getContext("2d");
    brush.strokeStyle = "#fff";
    brush.lineWidth = this.canvas.width / 12;
    brush.lineCap = "round";
    brush.lineJoin = "round";
    brush.beginPath();
    brush.moveTo(...this.last);
    brush.lineTo(...at);
    brush.stroke();
    this.last = at;
  }

  /** The drawing in the size of the network's pictures, base64 of a byte for each number. */
  pixels(channels) {
    const small = html("canvas", { width: this.columns, height: this.rows });
    const brush = small.getContext("2d", { willReadFrequently: true });
    brush.imageSmoothingQuality = "high";
    brush.drawImage(this.canvas, 0, 0, this.columns, this.rows);
    const { data } = brush.getImageData(0, 0, this.columns, this.rows);
    let text = "";
    for (let i = 0; i < this.rows * this.columns; i += 1) {
      text += String.fromCharCode(data[4 * i]).repeat(channels);
    }
    return btoa(text);
  }
}

/** The picture's panel; `onshow(promise of a description)` is told of another picture or question. */
export class Picture {
  constructor({ onshow, source }) {
    Object.assign(this, { onshow, source });
    this.canvas = html("canvas", { class: "picture" });
    this.box = html("div", { class: "field", "aria-hidden": "true" });
    this.frame = html("div", { class: "frame" }, this.canvas, this.box);
    this.said = html("p", { class: "said" });
    this.field = html("p", { class: "said", "aria-live": "polite" });
    this.ways = html("div", { class: "ways" });
    this.bars = html("div", { class: "guesses" });
    this.element = html("section", { class: "sheet picture-sheet" }, html("h2", {}, "Picture"),
      this.frame, this.said, this.field, this.ways, html("h2", {}, "What the network takes it for"),
      this.bars);
    const take = (event) => {
      event.preventDefault();
      this.element.classList.remove("over");
      this.#file((event.dataTransfer ?? event.clipboardData)?.files?.[0]);
    };
    if (source.can("show")) {
      this.element.addEventListener("dragover", (event) => {
        event.preventDefault();
        this.element.classList.add("over");
      });
      this.element.addEventListener("dragleave", () => this.element.classList.remove("over"));
      this.element.addEventListener("drop", take);
      this.onpaste = (event) => {
        if (event.clipboardData?.files?.length) {
          take(event);
        }
      };
      document.addEventListener("paste", this.onpaste);
    }
  }

  destroy() {
    document.removeEventListener("paste", this.onpaste);
  }

  #file(file) {
    if (file) {
      this.onshow(this.source.show(file));
    }
  }

  /** Shows a scene's picture and what the network says of it. */
  async show(scene) {
    this.scene = scene;
    const { image } = scene.told;
    const values = await scene.array(image.pixels);
    paintPicture(this.canvas, values, image.shape, image.range);
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `the picture ${image.name}, ${image.shape.join(" × ")}`);
    this.said.textContent = `${image.name ? `${image.name}, ` : ""}${image.shape.join(" × ")}`
      + (image.label === null ? "" : `, labelled ${scene.className(image.label)}`);
    this.#ways();
    await this.#guesses();
  }

  /** Marks the rectangle that a number sees: [[first row, last row], [first column, last column]]. */
  mark(field) {
    const [rows, columns] = this.scene.told.image.shape;
    this.box.hidden = !field || field.length !== 2;
    if (this.box.hidden) {
      this.field.textContent = "";
      return;
    }
    const [[top, bottom], [left, right]] = field;
    this.box.style.left = `${100 * left / columns}%`;
    this.box.style.top = `${100 * top / rows}%`;
    this.box.style.width = `${100 * (right - left + 1) / columns}%`;
    this.box.style.height = `${100 * (bottom - top + 1) / rows}%`;
    const all = top === 0 && left === 0 && bottom === rows - 1 && right === columns - 1;
    this.field.textContent = all ? "The chosen number sees the whole picture."
      : `The chosen number sees rows ${top} … ${bottom}, columns ${left} … ${right}.`;
  }

  #ways() {
    const { source, scene } = this;
    const { image, classes } = scene.told;
    const parts = [];
    if (source.can("show")) {
      const file = html("input", { type: "file", accept: "image/*", hidden: true,
        onchange: () => this.#file(file.files[0]) });
      parts.push(html("button", { type: "button", onclick: () => file.click() }, "Choose a picture…"), file);
    }
    if (source.can("draw") && image.shape.length === 3 && image.shape[2] === 1) {
      parts.push(html("button", { type: "button", onclick: () => this.#draw() }, "Draw…"));
    }
    const names = Array.from({ length: scene.shape(scene.told.logits).at(-1) }, (_, i) =>
      [String(i), classes[i] ?? String(i)]);
    if (source.can("label")) {
      const label = image.label === null ? "" : String(image.label);
      parts.push(html("label", {}, "its class ", choice("its class", [["", "not known"], ...names], label,
        (value) => this.onshow(source.ask("label", { label: value === "" ? null : Number(value) })))));
    }
    if (source.can("of")) {
      const of = String(scene.told.of);
      const goals = image.label === null ? names : [["loss", "the loss"], ...names];
      parts.push(html("label", {}, "gradients of ", choice("gradients of", goals, of,
        (value) => this.onshow(source.ask("of", { of: value === "loss" ? value : Number(value) })))));
    }
    refill(this.ways, parts);
  }

  #draw() {
    const [rows, columns, channels] = this.scene.told.image.shape;
    const drawing = new Drawing(rows, columns);
    const end = () => dialog.remove();
    const dialog = html("dialog", { class: "drawing-dialog", "aria-label": "draw a picture" },
      html("h2", {}, "Draw, white on black"), drawing.canvas, html("div", { class: "ways" },
        html("button", { type: "button", onclick: () => {
          this.onshow(this.source.ask("draw", { pixels: drawing.pixels(channels) }));
          dialog.close();
        } }, "Show the network"),
        html("button", { type: "button", onclick: () => drawing.clear() }, "Clear"),
        html("button", { type: "button", onclick: () => dialog.close() }, "Cancel")));
    dialog.addEventListener("close", end);
    this.element.append(dialog);
    dialog.showModal();
  }

  async #guesses() {
    const { scene } = this;
    const { probabilities, logits, image, gradients } = scene.told;
    const values = await scene.array(probabilities);
    const scores = await scene.array(logits);
    const gradient = scene.told.of === "loss" && gradients[logits] !== undefined
      ? await scene.array(gradients[logits]) : null;
    const order = [...values.keys()].sort((a, b) => values[b] - values[a] || a - b);
    const kept = order.slice(0, MOST_CLASSES);
    if (image.label !== null && !kept.includes(image.label)) {
      kept.push(image.label);
    }
    const finished = scene.told.finish === "softmax" || scene.told.finish === "sigmoid";
    const rows = kept.map((number) => {
      const bar = html("span", { class: "bar" });
      bar.style.width = finished ? `${Math.round(values[number] * 100)}%` : "0";
      const right = number === image.label ? " ✓" : "";
      return html("tr", {}, html("th", { scope: "row" }, scene.className(number) + right),
        html("td", { class: "with-bar" }, bar, html("span", {}, finished
          ? `${(values[number] * 100).toFixed(2)} %` : shown(values[number]))),
        html("td", {}, shown(scores[number])),
        gradient ? html("td", {}, shown(gradient[number])) : null);
    });
    const heads = ["class", finished ? "probability" : "result", "logit",
      ...gradient ? ["p − y"] : []];
    refill(this.bars, html("table", { class: "terms" }, html("thead", {}, html("tr", {},
      heads.map((name) => html("th", { scope: "col" }, name)))), html("tbody", {}, rows)),
    order.length > kept.length ? html("p", { class: "hint" }, `${kept.length} of ${order.length} classes`)
      : null);
  }
}
