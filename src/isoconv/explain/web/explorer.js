// The explorer: a network on one picture, from the whole graph to the terms of any number in it,
// forward and backward.

import { fieldOf } from "./field.js";
import { Parts } from "./cell.js";
import { freshId, html, refill, tabList } from "./dom.js";
import { grid, scaleOf } from "./drawing.js";
import { Maps } from "./maps.js";
import { Player } from "./motion.js";
import { NetworkList } from "./network.js";
import { direct, directWeight, followers, partsOf } from "./parts.js";
import { Picture } from "./picture.js";
import { Scene, largest, unflat } from "./scene.js";
import { shown } from "./float32.js";
import { count, flat } from "./windows.js";

const TABS = [["value", "Value"], ["gradient", "Gradient"], ["kernel", "Gradient by kernel"]];

class Explorer {
  constructor(root, source, { fragment = true } = {}) {
    Object.assign(this, { root, source, fragment });
    this.turn = 0;
    this.tab = "value";
    this.weightPlace = null;
    root.classList.add("isoconv", "explorer");
    this.title = html("h1", {}, "…");
    this.status = html("p", { class: "status", role: "status" }, "The network is being computed …");
    refill(root, html("header", { class: "top" }, this.title, this.status));
    this.ready = this.#start();
  }

  /** Takes the explorer off the page. */
  destroy() {
    this.player?.stop();
    this.picture?.destroy();
    this.root.replaceChildren();
  }

  async #start() {
    const description = await this.#heard(this.source.description());
    if (!description) {
      return;
    }
    this.picture = new Picture({ source: this.source, onshow: (told) => this.#changed(told) });
    this.network = new NetworkList({ onchoose: (number) => this.choose(number) });
    this.maps = new Maps({ onchoose: (place) => this.pick(place) });
    this.panel = html("div", { role: "tabpanel", id: freshId("panel"), tabindex: -1 });
    this.tabs = tabList("what is taken apart", TABS, this.panel, (name) => this.#tab(name));
    this.heading = html("h2");
    this.player = new Player({ label: "positions of the window", onstep: (at) => this.#step(at) });
    this.cell = html("section", { class: "sheet cell" }, this.heading, this.tabs.element, this.player.element,
      this.panel);
    this.root.append(html("div", { class: "columns" },
      html("div", { class: "left" }, this.picture.element, this.network.element),
      html("div", { class: "right" }, this.maps.element, this.cell)));
    await this.#scene(description);
  }

  /** Waits for an answer; a failure is told in the status line. */
  async #heard(promise) {
    try {
      const told = await promise;
      this.status.textContent = "";
      this.status.classList.remove("warning");
      return told;
    } catch (error) {
      this.status.textContent = error.message;
      this.status.classList.add("warning");
      return null;
    }
  }

  async #changed(promise) {
    this.status.textContent = "The network is being computed …";
    const told = await this.#heard(promise);
    if (told) {
      await this.#scene(told);
    }
  }

  async #scene(description) {
    this.scene = new Scene(this.source, description);
    this.title.textContent = description.title;
    document.title = this.fragment ? description.title : document.title;
    this.network.show(this.scene);
    await this.#heard(this.picture.show(this.scene));
    const asked = this.fragment ? fromFragment(location.hash, this.scene) : null;
    const first = this.scene.layers.findIndex((layer) => layer.window);
    const number = this.number ?? asked?.number ?? Math.max(0, first);
    const place = this.number === undefined ? asked?.place ?? null : this.place;
    this.tab = asked?.tab ?? this.tab;
    await this.choose(Math.min(number, this.scene.layers.length - 1), place);
  }

  /** Shows a layer, or with -1 the picture; `place` the number to take apart, or null. */
  async choose(number, place = null) {
    const turn = this.turn += 1;
    const { scene } = this;
    const layer = scene.layers[number];
    const id = layer ? layer.result : scene.told.image.source;
    const values = await this.#heard(scene.array(id));
    if (!values || turn !== this.turn) {
      return;
    }
    this.number = number;
    this.id = id;
    this.layer = layer ?? null;
    this.network.choose(number);
    const shape = scene.shape(id);
    const kept = place ?? (this.place?.length === shape.length ? this.place : null);
    const fits = kept && kept.length === shape.length && kept.every((at, axis) => at < shape[axis]);
    this.place = fits ? kept : largest(values, shape);
    const name = layer ? `${layer.kind} ${layer.name}` : "The picture, as the first layer takes it";
    const facts = [layer?.settings, shape.join(" × ")].filter((text) => text).join(" · ");
    this.maps.show(name, facts, values, shape, this.place);
    this.weightPlace = null;
    await this.#take();
  }

  /** Takes another number of the same layer apart. */
  async pick(place) {
    this.player.stop();
    this.turn += 1;
    this.place = place;
    this.maps.choose(place);
    await this.#take();
  }

  #step(at) {
    const shape = this.scene.shape(this.id);
    const channel = this.place[this.place.length - 1];
    const spatial = shape.slice(0, -1);
    this.place = [...unflat(at, spatial), channel];
    this.turn += 1;
    this.maps.choose(this.place);
    this.#take(true);
  }

  async #tab(name) {
    this.tab = name;
    await this.#take();
  }

  async #take(moving = false) {
    const turn = this.turn;
    const { scene, layer, place, id } = this;
    const names = ["value", "gradient", ...layer?.parameters.weight !== undefined && layer.window
      ? ["kernel"] : []];
    if (!names.includes(this.tab)) {
      this.tab = "value";
    }
    this.tabs.show(this.tab, names);
    const shape = scene.shape(id);
    const spatial = shape.slice(0, -1);
    const slides = spatial.length > 0 && count(spatial) > 1;
    this.player.element.hidden = !slides;
    if (slides) {
      this.player.show(count(spatial), flat(place.slice(0, -1), spatial));
    }
    this.picture.mark(fieldOf(scene, id, place));
    const drawn = await this.#heard(this.tab === "value" ? this.#value()
      : this.tab === "gradient" ? this.#gradient() : this.#kernel());
    if (!drawn || turn !== this.turn) {
      return;
    }
    refill(this.panel, drawn);
    this.#write(moving);
  }

  #write(moving) {
    if (this.fragment && !moving) {
      const where = [this.layer?.name ?? "", ...this.place].map(encodeURIComponent).join(",");
      history.replaceState(null, "", `#at=${where}&show=${this.tab}`);
    }
  }

  #told(words, value) {
    const at = this.place.join(", ");
    this.heading.textContent = `${words} ${this.layer?.name ?? "the picture"} at [${at}] = ${shown(value)}`;
  }

  async #value() {
    const { scene, layer, place, id } = this;
    const values = await scene.array(id);
    this.#told("", values[flat(place, scene.shape(id))]);
    const parts = await partsOf(scene, id, place, (node) => (layer ? layer.nodes.includes(node)
      : !scene.flows(node)));
    if (layer?.window && !layer.window.own) {
      parts.unshift(await direct(scene, layer, place));
    }
    const main = new Parts();
    main.show(scene, parts);
    const after = layer ? await followers(scene, id, place) : { parts: [], readers: [] };
    const follow = new Parts();
    follow.show(scene, after.parts);
    return [main.element,
      after.parts.length ? html("h2", { class: "between" }, "What follows, at the same place") : null,
      after.parts.length ? follow.element : null,
      after.readers.length ? html("p", { class: "hint" }, `Then read by ${after.readers.join(", ")}.`)
        : null];
  }

  async #gradient() {
    const { scene, place, id } = this;
    const gradient = scene.gradient(id);
    if (gradient === null) {
      this.#told(`The gradient of ${scene.goal} by`, 0);
      return [html("p", {}, "Nothing flows back to here: the gradient is 0.")];
    }
    const values = await scene.array(gradient);
    this.#told(`The gradient of ${scene.goal} by`, values[flat(place, scene.shape(id))]);
    const parts = new Parts();
    parts.show(scene, await partsOf(scene, gradient, place, (node) => scene.flows(node)));
    return [html("p", { class: "hint" }, "Every term that flows back into this number, first what "
      + "is summed, then what follows at its place. The loss falls where the number goes against it."),
    this.#wholeGradient(values), parts.element];
  }

  #wholeGradient(values) {
    const { scene, place, id } = this;
    const shape = scene.shape(id);
    if (shape.length < 2) {
      return null;
    }
    const channels = shape[shape.length - 1];
    const channel = place[place.length - 1];
    const [rows, columns] = [1, ...shape.slice(0, -1)].slice(-2);
    const one = Float32Array.from({ length: rows * columns }, (_, i) => values[i * channels + channel]);
    const map = grid({ rows, columns, label: `gradient by channel ${channel}`,
      onselect: (r, c) => this.pick([...[r, c].slice(2 - (shape.length - 1)), channel]) });
    map.show(one, scaleOf(values));
    const [row, column] = [0, ...place.slice(0, -1)].slice(-2);
    map.select(row, column);
    map.mark([{ row, column, as: "selected" }]);
    return map.element;
  }

  async #kernel() {
    const { scene, layer } = this;
    const { weight, geometry, own } = layer.window;
    const shape = scene.shape(weight);
    const filter = this.place[this.place.length - 1];
    const gradient = scene.gradient(weight);
    if (gradient === null) {
      return [html("p", {}, "Nothing flows back to this kernel: the gradient is 0.")];
    }
    const at = this.weightPlace ?? [...geometry.kernel.map(() => 0), 0, filter];
    at[at.length - 1] = filter;
    const channel = at[at.length - 2];
    const [values, kernel] = await scene.arrays([gradient, weight]);
    this.heading.textContent = `The gradient of ${scene.goal} by weight[${at.join(", ")}] of ${layer.name}`
      + ` = ${shown(values[flat(at, shape)])}`;
    const [rows, columns] = [1, 1, ...geometry.kernel].slice(-2);
    const inner = shape[shape.length - 2];
    const cut = (all) => Float32Array.from({ length: rows * columns }, (_, i) =>
      all[(i * inner + channel) * shape[shape.length - 1] + filter]);
    const maps = [["kernel", kernel], ["gradient by kernel", values]].map(([label, all]) => {
      const one = grid({ rows, columns, label: `${label}, channel ${channel}, filter ${filter}`,
        onselect: (r, c) => {
          this.weightPlace = [...[r, c].slice(2 - geometry.kernel.length), channel, filter];
          this.#take();
        } });
      one.show(cut(all), scaleOf(cut(all)));
      const [row, column] = [0, 0, ...at.slice(0, geometry.kernel.length)].slice(-2);
      one.select(row, column);
      one.mark([{ row, column, as: "selected" }]);
      return one.element;
    });
    const chooser = inner > 1 ? html("label", { class: "channel" }, "input channel ",
      html("input", { type: "number", min: 0, max: inner - 1, value: channel, onchange: (event) => {
        const wanted = Math.max(0, Math.min(inner - 1, Math.round(Number(event.target.value)) || 0));
        this.weightPlace = [...at.slice(0, -2), wanted, filter];
        this.#take();
      } }), html("span", { class: "hint" }, ` of ${inner}`)) : null;
    const parts = new Parts();
    parts.show(scene, own ? await partsOf(scene, gradient, at, (node) => node === gradient)
      : [await directWeight(scene, layer, at)]);
    return [html("p", { class: "hint" }, "One term for each position of the window in this picture: what "
      + "lay under this kernel element, times the gradient of the result there."),
    chooser, html("div", { class: "pictures" }, maps), parts.element];
  }
}

/** What an address asks for: {number, place, tab}; null for nothing. */
function fromFragment(text, scene) {
  const asked = new URLSearchParams(text.slice(1));
  const [name, ...rest] = (asked.get("at") ?? "").split(",").map(decodeURIComponent);
  const number = scene.layers.findIndex((layer) => layer.name === name);
  if (number < 0) {
    return null;
  }
  const place = rest.map(Number);
  const tab = TABS.some(([one]) => one === asked.get("show")) ? asked.get("show") : "value";
  return { number, tab, place: place.length && place.every(Number.isInteger) ? place : null };
}

/** Draws an explorer into an element; `source` as in source.js. */
export function mount(root, source, options = {}) {
  return new Explorer(root, source, options);
}
