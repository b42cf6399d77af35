// A dialog in which a digit is drawn for a network that reads grey pictures.

import { html } from "./dom.js";

/** A canvas to draw on, white on black; gives the bytes of `rows` × `columns`. */
class Drawing {
  constructor(rows, columns) {
    Object.assign(this, { rows, columns });
    this.canvas = html("canvas", { class: "drawing", width: 280, height: Math.round(280 * rows / columns),
      role: "img", "aria-label": "draw here with the mouse, a finger or a pen",
      onpointerdown: (event) => this.#begin(event), onpointermove: (event) => this.#go(event),
      onpointerup: () => { this.last = null; }, onpointercancel: () => { this.last = null; } });
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
  pixels() {
    const small = html("canvas", { width: this.columns, height: this.rows });
    const brush = small.getContext("2d", { willReadFrequently: true });
    brush.imageSmoothingQuality = "high";
    brush.drawImage(this.canvas, 0, 0, this.columns, this.rows);
    const { data } = brush.getImageData(0, 0, this.columns, this.rows);
    let text = "";
    for (let i = 0; i < this.rows * this.columns; i += 1) {
      text += String.fromCharCode(data[4 * i]);
    }
    return btoa(text);
  }
}

/** Lets a person draw; `ondraw(pixels)` is told what, in base64, unless it was given up. */
export function draw(around, rows, columns, ondraw) {
  const drawing = new Drawing(rows, columns);
  const button = (text, act) => html("button", { type: "button", onclick: act }, text);
  const dialog = html("dialog", { class: "drawing-dialog", "aria-label": "draw a picture" },
    html("h2", {}, "Draw, white on black"), drawing.canvas, html("div", { class: "ways" },
      button("Show it to the network", () => {
        dialog.close();
        ondraw(drawing.pixels());
      }), button("Clear", () => drawing.clear()), button("Cancel", () => dialog.close())));
  dialog.addEventListener("close", () => dialog.remove());
  around.append(dialog);
  dialog.showModal();
}
