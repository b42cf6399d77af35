// The picture that is shown, the rectangle of it that the chosen number sees, which part of it speaks
// for a class, what the network takes it for, and the ways to another picture.

import { choice, html, refill } from "./dom.js";
import { draw } from "./draw.js";
import { shown } from "./float32.js";
import {
  camLayers, gradCam, inputGradient, occlusion, overlay, strongest, usualCamLayer,
} from "./saliency.js";

const MOST_CLASSES = 5;

const OVER = [["", "nothing"], ["cam", "Grad-CAM"], ["gradient", "gradient by pixel"],
  ["times", "gradient × input"], ["occlusion", "occlusion"]];

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

/** The picture's panel; `onshow(promise of a description)` is told of another picture or question. */
export class Picture {
  constructor({ onshow, source }) {
    Object.assign(this, { onshow, source, over: "", camLayer: null });
    this.canvas = html("canvas", { class: "picture" });
    this.veil = html("canvas", { class: "veil", "aria-hidden": "true" });
    this.box = html("div", { class: "seen", "aria-hidden": "true" });
    this.frame = html("div", { class: "frame" }, this.canvas, this.veil, this.box);
    this.said = html("p", { class: "said" });
    this.field = html("p", { class: "said", "aria-live": "polite" });
    this.ways = html("div", { class: "ways" });
    this.choices = html("div", { class: "choices" });
    this.speaks = html("p", { class: "said", "aria-live": "polite" });
    this.bars = html("div", { class: "guesses" });
    this.element = html("section", { class: "sheet picture-sheet", "aria-label": "picture" },
      html("h2", {}, "Picture"), this.frame, this.said, this.field, this.ways, this.choices,
      this.speaks, html("h2", {}, "What the network takes it for"), this.bars);
    if (source.can("show")) {
      this.#listen();
    }
  }

  #listen() {
    const take = (event) => {
      event.preventDefault();
      this.element.classList.remove("over");
      this.#file((event.dataTransfer ?? event.clipboardData)?.files?.[0]);
    };
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
    this.said.textContent = [image.name, image.shape.join(" × "),
      image.label === null ? "" : `labelled ${scene.className(image.label)}`]
      .filter((text) => text).join(", ");
    this.#ways();
    this.#choices();
    await this.#guesses();
    await this.#veil();
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
      : `The chosen number sees rows ${top} … ${bottom}, columns ${left} … ${right} (the frame).`;
  }

  #ways() {
    const { source, scene } = this;
    const { image, gallery } = scene.told;
    const button = (text, act) => html("button", { type: "button", onclick: act }, text);
    const parts = [];
    if (source.can("show")) {
      const file = html("input", { type: "file", accept: "image/*", hidden: true,
        "aria-label": "a picture file", onchange: () => this.#file(file.files[0]) });
      parts.push(button("Choose a picture…", () => file.click()), file);
    }
    if (source.can("draw") && image.shape.length === 3 && image.shape[2] === 1) {
      const [rows, columns] = image.shape;
      parts.push(button("Draw…", () => draw(this.element, rows, columns, (pixels) =>
        this.onshow(source.ask("draw", { pixels })))));
    }
    if (source.can("picture") && gallery) {
      const most = gallery.count - 1;
      const said = html("span", { class: "hint", role: "status" },
        `of ${gallery.count.toLocaleString("en")}`);
      // A picture that is none of them leaves the field empty.
      const number = image.number ?? "";
      parts.push(html("label", {}, `${gallery.part || "its"} image `, html("input", { type: "number",
        min: 0, max: most, value: number, onchange: (event) => {
          const text = event.target.value.trim();
          if (/^\d+$/.test(text) && Number(text) <= most) {
            this.onshow(source.ask("picture", { number: Number(text) }));
            return;
          }
          event.target.value = number;
          said.textContent = `there are images 0 … ${most.toLocaleString("en")}`
            + `${text ? `, no ${text}` : ""}`;
          said.classList.add("warning");
        } }), said));
    }
    refill(this.ways, parts, source.can("show")
      ? html("p", { class: "hint" }, "Or drop a picture here, or paste one.") : null);
  }

  #choices() {
    const { source, scene } = this;
    const { image, logits } = scene.told;
    const names = Array.from({ length: scene.shape(logits).at(-1) }, (_, i) =>
      [String(i), scene.className(i)]);
    const labelled = (text, list) => html("label", {}, html("span", {}, text), list);
    const parts = [];
    if (source.can("label") && !scene.ofPlaces) {
      const label = image.label === null ? "" : String(image.label);
      parts.push(labelled("its class", choice("its class", [["", "not known"], ...names], label,
        (value) => this.onshow(source.ask("label", { label: value === "" ? null : Number(value) })))));
    }
    if (source.can("of")) {
      const goals = image.label === null ? names : [["loss", "the loss"], ...names];
      parts.push(labelled("gradients of", choice("gradients of", goals, String(scene.told.of),
        (value) => this.onshow(source.ask("of", { of: value === "loss" ? value : Number(value) })))));
    }
    const cams = camLayers(scene);
    const over = OVER.filter(([kind]) => (kind === "cam" ? cams.length
      : kind !== "occlusion" || source.can("occlusion")));
    parts.push(labelled("laid over it", choice("laid over it", over, this.over, (value) => {
      this.over = value;
      this.#choices();
      this.#veil();
    })));
    if (this.over === "cam") {
      this.camLayer = cams.includes(this.camLayer) ? this.camLayer : usualCamLayer(scene);
      parts.push(labelled("of layer", choice("layer of Grad-CAM", cams.map((number) =>
        [String(number), `${scene.layers[number].kind} ${scene.layers[number].name}`]),
      String(this.camLayer), (value) => {
        this.camLayer = Number(value);
        this.#veil();
      })));
    }
    refill(this.choices, parts);
  }

  async #veil() {
    const { scene, over } = this;
    this.veil.hidden = true;
    this.speaks.textContent = "";
    if (!over || scene.told.image.shape.length !== 3) {
      return;
    }
    let map;
    try {
      map = over === "cam" ? await gradCam(scene, this.camLayer)
        : over === "occlusion" ? await occlusion(scene) : await inputGradient(scene, over === "times");
    } catch (error) {
      this.speaks.textContent = error.message;
      return;
    }
    if (scene !== this.scene || over !== this.over) {
      return;
    }
    this.speaks.textContent = map ? this.#told(map) : "No gradient flows back to the picture.";
    if (map) {
      const [height, width] = scene.told.image.shape;
      this.veil.hidden = false;
      overlay(this.veil, map, height, width);
    }
  }

  #told(map) {
    const { scene } = this;
    const { of, image } = scene.told;
    const named = scene.className(of === "loss" ? image.label : of);
    const goal = of === "loss" ? `a smaller loss, and so for ${named}` : named;
    const spot = strongest(map);
    const [height, width] = image.shape;
    const at = spot && (map.rows === height && map.columns === width
      ? `at row ${spot.row}, column ${spot.column}`
      : `around row ${Math.round((spot.row + 0.5) * height / map.rows - 0.5)}, column `
        + `${Math.round((spot.column + 0.5) * width / map.columns - 0.5)}`);
    const words = { cam: `Orange: what speaks for ${goal}`,
      times: `Orange speaks for ${goal}, blue against it`,
      gradient: `The stronger, the more a change of the pixel changes ${scene.goal}`,
      occlusion: `Orange: where the probability of ${named} falls when a patch covers the picture `
        + "there; blue: where it rises",
    }[this.over];
    return `${words}; ${spot ? `strongest ${at}` : "here nothing does"}.${map.note ? ` ${map.note}` : ""}`;
  }

  /** The share of the places that each class is the most probable one of. */
  #shares(values) {
    const { scene } = this;
    const classes = scene.told.nodes[scene.told.logits].shape[2];
    const counts = new Array(classes).fill(0);
    for (let start = 0; start < values.length; start += classes) {
      let most = 0;
      for (let k = 1; k < classes; k += 1) {
        most = values[start + k] > values[start + most] ? k : most;
      }
      counts[most] += 1;
    }
    const places = values.length / classes;
    const order = [...counts.keys()].sort((a, b) => counts[b] - counts[a] || a - b);
    const kept = order.slice(0, MOST_CLASSES);
    refill(this.bars, html("table", { class: "guesses" }, html("tbody", {}, kept.map((number) => {
      const bar = html("span", { class: "bar", "aria-hidden": "true" });
      bar.style.width = `${Math.round((counts[number] / places) * 100)}%`;
      return html("tr", {}, html("th", { scope: "row" },
        scene.told.classes[number] ?? `class ${number}`),
      html("td", { class: "with-bar" }, bar,
        html("span", {}, `${((counts[number] / places) * 100).toFixed(2)} %`)));
    }))), html("p", { class: "hint" },
      `of the places; ${kept.length} of ${classes} classes`));
  }

  async #guesses() {
    const { scene } = this;
    const { probabilities, image, finish } = scene.told;
    const values = await scene.array(probabilities);
    if (scene.ofPlaces) {
      this.#shares(values);
      return;
    }
    const order = [...values.keys()].sort((a, b) => values[b] - values[a] || a - b);
    const kept = order.slice(0, MOST_CLASSES);
    if (image.label !== null && !kept.includes(image.label)) {
      kept.push(image.label);
    }
    const finished = finish === "softmax" || finish === "sigmoid";
    refill(this.bars, html("table", { class: "guesses" }, html("tbody", {}, kept.map((number) => {
      const bar = html("span", { class: "bar", "aria-hidden": "true" });
      bar.style.width = finished ? `${Math.round(values[number] * 100)}%` : "0";
      return html("tr", {}, html("th", { scope: "row" }, scene.className(number),
        number === image.label ? html("span", { class: "right", title: "its label" }, " ✓") : null),
      html("td", { class: "with-bar" }, bar, html("span", {}, finished
        ? `${(values[number] * 100).toFixed(2)} %` : shown(values[number]))));
    }))), order.length > kept.length
      ? html("p", { class: "hint" }, `${kept.length} of ${order.length} classes; ✓ is its label`) : null);
  }
}
