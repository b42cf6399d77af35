// The explorer: a network on one picture, from the whole graph to the terms of any number in it,
// forward and backward, and what is known of the run that trained it.

import { Parts } from "./cell.js";
import { calm, freshId, html, refill, tabList } from "./dom.js";
import { Ending } from "./ending.js";
import { fieldOf } from "./field.js";
import { shown } from "./float32.js";
import { Kernels } from "./kernels.js";
import { Maps } from "./maps.js";
import { Player } from "./motion.js";
import { NetworkList } from "./network.js";
import { followers, ordinary, partsOf } from "./parts.js";
import { Picture } from "./picture.js";
import { hint } from "./purpose.js";
import { Checkpoints, Run } from "./run.js";
import { Scene, largest, unflat } from "./scene.js";
import { stepOf } from "./told.js";
import { count, flat } from "./windows.js";

const TABS = [["value", "Value"], ["gradient", "Gradient"], ["kernel", "Gradient by kernel"],
  ["update", "Update"]];
const VIEWS = [["network", "Network"], ["run", "Training"]];
const WAIT = "The network is being computed …";

class Explorer {
  constructor(root, source, { fragment = true } = {}) {
    Object.assign(this, { root, source, fragment });
    this.turn = 0;
    this.tab = "value";
    this.weightPlace = null;
    root.classList.add("isoconv", "explorer");
    this.title = html("h1", {}, "…");
    this.status = html("p", { class: "status", role: "status" }, WAIT);
    this.left = html("ul", { class: "left hint", "aria-label": "what this page lacks", hidden: true });
    this.hint = hint();
    this.top = html("header", { class: "top" }, this.title, this.status, this.left, this.hint);
    refill(root, this.top);
    this.onhash = () => this.#follow();
    if (fragment) {
      window.addEventListener("hashchange", this.onhash);
    }
    this.ready = this.#start();
  }

  /** Takes the explorer off the page. */
  destroy() {
    this.player?.stop();
    this.checkpoints?.stop();
    this.picture?.destroy();
    window.removeEventListener("hashchange", this.onhash);
    this.root.replaceChildren();
  }

  async #start() {
    const description = await this.#heard(this.source.description());
    if (!description) {
      return;
    }
    const onshow = (told) => this.#changed(told);
    this.picture = new Picture({ source: this.source, onshow });
    this.network = new NetworkList({ onchoose: (number) => this.choose(number) });
    this.maps = new Maps({ onchoose: (place) => this.pick(place) });
    this.kernels = new Kernels({ onchoose: (place) => this.#weight(place) });
    this.ending = new Ending({ onchoose: (number) => this.pick(
      this.scene.ofPlaces ? [...this.place.slice(0, 2), number % this.scene.shape(this.id)[2]]
        : [number]) });
    this.run = new Run({ source: this.source, onshow: (told) => {
      this.#view("network");
      onshow(told);
    } });
    this.checkpoints = new Checkpoints({ onepoch: (epoch) =>
      onshow(this.source.ask("checkpoint", { epoch })) });
    this.panel = html("div", { role: "tabpanel", id: freshId("panel"), tabindex: -1 });
    this.tabs = tabList("what is taken apart", TABS, this.panel, (name) => this.#tab(name));
    this.heading = html("h2");
    this.player = new Player({ label: "positions of the window", onstep: (at) => this.#step(at) });
    this.cell = html("section", { class: "sheet cell", "aria-label": "the chosen number" },
      this.heading, this.player.element, this.panel);
    this.page = html("div", { class: "columns", role: "tabpanel", id: freshId("view") },
      this.network.element, this.tabs.element, this.picture.element, this.maps.element,
      this.kernels.element, this.cell);
    for (const { element } of [this.maps, this.kernels]) {
      element.addEventListener("click", (event) => {
        // By the mouse or a finger, and on a number: whoever chooses by keys stays where they are.
        this.clicked = event.detail > 0
          && Boolean(event.target.closest("canvas, [role=gridcell], .line"))
          && !event.target.closest(".tile");
        if (this.cell.getAttribute("aria-busy") === "false") {
          this.#reveal();
        }
      });
    }
    this.views = tabList("what is shown", VIEWS, this.page, (name) => this.#view(name));
    this.title.after(this.checkpoints.element);
    this.root.append(this.views.element, this.page, this.run.element);
    await this.#scene(description);
    this.#view("network");
  }

  #view(name) {
    const names = Run.has(this.scene) ? ["network", "run"] : ["network"];
    this.views.element.hidden = names.length === 1;
    this.views.show(name, names);
    this.page.hidden = name !== "network";
    this.run.element.hidden = name !== "run";
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
      if (error.stale) {
        await this.#renew();
      }
      return null;
    }
  }

  /** Shows what another page of the same network has put here meanwhile, and says so. */
  async #renew() {
    if (this.renewing) {
      return;
    }
    this.renewing = true;
    try {
      await this.#scene(await this.source.description());
      this.status.textContent = "Another page has changed what is shown; this is it now.";
    } finally {
      this.renewing = false;
    }
  }

  async #changed(promise) {
    this.status.textContent = WAIT;
    this.cell.setAttribute("aria-busy", "true");
    const told = await this.#heard(promise);
    if (told) {
      await this.#scene(told);
    } else {
      this.cell.setAttribute("aria-busy", "false");
    }
  }

  async #scene(description) {
    this.scene = new Scene(this.source, description);
    this.title.textContent = description.title;
    document.title = this.fragment ? description.title : document.title;
    const epochs = this.source.can("checkpoint") ? description.checkpoints ?? [] : [];
    this.checkpoints.show(epochs, description.epoch ?? -1);
    this.run.show(this.scene);
    this.network.show(this.scene);
    await this.#heard(this.picture.show(this.scene));
    const said = [...description.image.notes ?? [], ...description.left ?? []];
    refill(this.left, said.map((line) => html("li", {}, `${line}.`)));
    this.left.hidden = !said.length;
    const asked = this.fragment ? fromFragment(location.hash, this.scene) : null;
    const first = this.scene.layers.findIndex((layer) => layer.window);
    const number = this.number ?? asked?.number ?? Math.max(0, first);
    const place = this.number === undefined ? asked?.place ?? null : this.place;
    this.tab = this.number === undefined ? asked?.tab ?? this.tab : this.tab;
    const weight = this.number === undefined ? asked?.weight : this.weightPlace;
    await this.choose(Math.min(number, this.scene.layers.length), place, weight);
  }

  /** Goes where the address was changed to. */
  #follow() {
    const asked = this.scene && fromFragment(location.hash, this.scene);
    if (asked) {
      this.tab = asked.tab;
      this.choose(asked.number, asked.place, asked.weight);
    }
  }

  /** Shows a layer, or with -1 the picture, or after the last layer the end; `place` a number of it. */
  async choose(number, place = null, weight = null) {
    this.player.stop();
    const turn = this.turn += 1;
    this.cell.setAttribute("aria-busy", "true");
    const { scene } = this;
    const layer = scene.layers[number];
    const id = layer ? layer.result : number < 0 ? scene.told.image.source : scene.told.logits;
    const values = await this.#heard(scene.array(id));
    if (turn !== this.turn) {
      return;
    }
    if (!values) {
      this.cell.setAttribute("aria-busy", "false");
      return;
    }
    const shape = scene.shape(id);
    const kept = place ?? (this.shape?.join() === shape.join() ? this.place : null);
    Object.assign(this, { number, id, layer: layer ?? null, values, shape });
    this.ends = number >= scene.layers.length;
    this.network.choose(number);
    const fits = kept && kept.length === shape.length
      && kept.every((at, axis) => at >= 0 && at < shape[axis]);
    this.place = fits ? kept : largest(values, shape);
    const sides = layer?.window && scene.shape(layer.window.weight);
    const held = weight && sides && weight.length === sides.length
      && weight.every((at, axis) => at >= 0 && at < sides[axis]);
    this.weightPlace = held ? weight : null;
    if (held) {
      this.place[this.place.length - 1] = weight.at(-1);
    }
    await this.#take({ maps: true });
  }

  /** Takes another number of the same layer apart. */
  async pick(place) {
    this.player.stop();
    this.turn += 1;
    this.place = place;
    await this.#take();
  }

  async #weight(place) {
    this.turn += 1;
    this.weightPlace = place;
    this.place = [...this.place.slice(0, -1), place[place.length - 1]];
    await this.#take();
  }

  #step(at) {
    const spatial = this.scene.shape(this.id).slice(0, -1);
    this.place = [...unflat(at, spatial), this.place[this.place.length - 1]];
    this.turn += 1;
    this.#take({ moving: true });
  }

  async #tab(name) {
    this.tab = name;
    this.player.stop();
    await this.#take({ maps: true });
  }

  async #take({ maps = false, moving = false } = {}) {
    const { turn, scene, layer, place, id } = this;
    this.cell.setAttribute("aria-busy", "true");
    const kernel = layer?.window ? ["kernel", "update"] : [];
    const names = this.ends ? ["value"] : ["value", "gradient", ...kernel];
    this.tab = names.includes(this.tab) ? this.tab : "value";
    this.tabs.show(this.tab, names);
    const ofKernel = this.tab === "kernel" || this.tab === "update";
    this.maps.element.hidden = ofKernel;
    this.kernels.element.hidden = !ofKernel;
    const spatial = scene.shape(id).slice(0, -1);
    const slides = !ofKernel && spatial.length > 0 && count(spatial) > 1;
    this.player.element.hidden = !slides;
    if (slides) {
      this.player.show(count(spatial), flat(place.slice(0, -1), spatial));
    }
    this.picture.mark(fieldOf(scene, id, place));
    const work = { value: () => (this.ends ? this.#end() : this.#value()),
      gradient: () => this.#gradient(), kernel: () => this.#kernel(), update: () => this.#update() };
    const drawn = await this.#heard(Promise.all([this.#maps(maps, ofKernel), work[this.tab]()]));
    if (turn !== this.turn) {
      return;
    }
    this.cell.setAttribute("aria-busy", "false");
    // Where it cannot be taken apart, no heading of another number may stand above the reason.
    const [, { heading, body }] = drawn ?? [null, { heading: this.#where(), body:
      html("p", { class: "warning" }, `This cannot be shown: ${this.status.textContent}.`) }];
    this.heading.textContent = heading;
    refill(this.panel, body);
    this.#write(moving);
    this.#reveal();
  }

  /** After a click, brings what it chose into sight where it lies below. */
  #reveal() {
    const { top, bottom } = this.heading.getBoundingClientRect();
    if (this.clicked && (top < 0 || bottom > window.innerHeight - 60)) {
      this.heading.scrollIntoView({ block: "center", behavior: calm() ? "auto" : "smooth" });
    }
    this.clicked = false;
  }

  /** The maps above the chosen number: of values, of gradients, or the kernels. */
  async #maps(anew, ofKernel) {
    const { scene, layer, place, id } = this;
    const name = layer ? `${layer.kind} ${layer.name}` : this.ends ? "Results before the end"
      : "The picture, as the first layer takes it";
    if (ofKernel) {
      const { weight } = layer.window;
      const found = scene.gradient(weight);
      const [values, gradient] = await Promise.all([scene.array(weight),
        found === null ? null : scene.array(found)]);
      this.kernels.show({ name, values, gradient, shape: scene.shape(weight),
        place: this.#kernelPlace() });
    } else if (anew) {
      const shape = scene.shape(id);
      const found = scene.gradient(id);
      const back = this.tab === "gradient";
      const values = !back ? this.values : found === null
        ? new Float32Array(count(shape)) : await scene.array(found);
      const facts = [layer?.settings, shape.join(" × ")].filter((text) => text).join(" · ");
      const classes = shape.length === 1 && shape[0] === scene.told.classes.length
        && id >= scene.told.logits;
      this.maps.show({ heading: back ? `Gradient of ${scene.goal} by ${name}` : name, facts, values,
        shape, place, name: classes ? (number) => scene.className(number) : String });
    } else {
      this.maps.choose(place);
    }
  }

  #write(moving) {
    if (this.fragment && !moving) {
      const name = this.ends ? "the end" : this.layer?.name ?? "the picture";
      const where = [name, ...this.place].map(encodeURIComponent).join(",");
      const weight = this.weightPlace ? `&weight=${this.weightPlace.join(",")}` : "";
      history.replaceState(null, "", `#at=${where}&show=${this.tab}${weight}`);
    }
  }

  /** The chosen number in words, without its value. */
  #where() {
    const name = this.layer ? `${this.layer.kind}, layer ${this.layer.name},` : "the picture";
    return `${name} at ${spoken(this.place)}`;
  }

  #told(words, value) {
    return `${words}${this.#where()} = ${shown(value)}`;
  }

  async #value() {
    const { scene, layer, place, id } = this;
    const value = this.values[flat(place, scene.shape(id))];
    const parts = await partsOf(scene, id, place, (node) => (layer ? layer.nodes.includes(node)
      : !scene.flows(node)));
    const main = new Parts();
    main.show(scene, parts);
    const after = layer ? await followers(scene, id, place) : { parts: [], readers: [] };
    const follow = new Parts();
    follow.show(scene, after.parts);
    return { heading: this.#told("", value), body: [main.element,
      after.parts.length ? html("h2", { class: "between" }, "What follows, at the same place") : null,
      after.parts.length ? follow.element : null,
      after.readers.length ? html("p", { class: "hint" }, 
          `Then read by ${after.readers.map((one) => `layer ${one}`).join(", ")}.`)
        : null] };
  }

  async #end() {
    const { scene, place } = this;
    const { probabilities, logits } = scene.told;
    const number = flat(place, scene.shape(probabilities));
    await this.ending.show(scene, number);
    const parts = new Parts();
    parts.show(scene, await partsOf(scene, probabilities, place, (node) => node > logits));
    const value = (await scene.array(probabilities))[number];
    return { heading: `${scene.className(number)}: ${shown(value)}`,
      body: [this.ending.element, parts.element] };
  }

  async #gradient() {
    const { scene, place, id } = this;
    const gradient = scene.gradient(id);
    const words = `The gradient of ${scene.goal} by `;
    if (gradient === null) {
      return { heading: this.#told(words, 0), body: html("p", {},
        `Nothing flows back to here from ${scene.goal}: the gradient is 0.`) };
    }
    const values = await scene.array(gradient);
    const parts = new Parts();
    parts.show(scene, await partsOf(scene, gradient, place, (node) => scene.flows(node)));
    return { heading: this.#told(words, values[flat(place, scene.shape(id))]), body: [
      html("p", { class: "hint" }, "Every term that flows back into this number: first what is summed, "
        + "then what follows at its place. A small step against the gradient makes "
        + `${scene.goal} smaller.`), parts.element] };
  }

  #kernelPlace() {
    const { scene, layer, place } = this;
    const shape = scene.shape(layer.window.weight);
    const at = this.weightPlace ?? shape.map(() => 0);
    at[at.length - 1] = place[place.length - 1];
    return at;
  }

  async #kernel() {
    const { scene, layer } = this;
    const { weight } = layer.window;
    const at = this.#kernelPlace();
    const gradient = scene.gradient(weight);
    const words = `The gradient of ${scene.goal} by weight[${at.join(", ")}] of layer ${layer.name}`;
    if (gradient === null) {
      return { heading: `${words} = 0`, body: html("p", {}, "Nothing flows back to this kernel.") };
    }
    const values = await scene.array(gradient);
    const parts = new Parts();
    const plain = await ordinary(scene, gradient, at);
    parts.show(scene, plain ? [plain] : await partsOf(scene, gradient, at, (node) => node === gradient));
    return { heading: `${words} = ${shown(values[flat(at, scene.shape(weight))])}`, body: [
      html("p", { class: "hint" }, "One term for each position of the window in this picture: what "
        + "lay under this kernel element, times the gradient of the result there."), parts.element] };
  }

  async #update() {
    const { scene, layer } = this;
    const at = this.#kernelPlace();
    const heading = `One step for weight[${at.join(", ")}] of layer ${layer.name}`;
    const ask = (what, told) => this.#changed(this.source.ask(what, told));
    return { heading, body: await stepOf(scene, layer, at, {
      label: (label) => ask("label", { label }), loss: () => ask("of", { of: "loss" }) }) };
  }
}

/** A place in words: "row 3, column 5, channel 7". */
function spoken(place) {
  const names = { 1: ["number"], 2: ["position", "channel"], 3: ["row", "column", "channel"] }[place.length];
  return names ? place.map((at, axis) => `${names[axis]} ${at}`).join(", ") : `[${place.join(", ")}]`;
}

/** What an address asks for: {number, place, tab, weight}; null for nothing. */
function fromFragment(text, scene) {
  const asked = new URLSearchParams(text.slice(1));
  const [name, ...rest] = (asked.get("at") ?? "").split(",");
  const number = name === "the end" ? scene.layers.length : name === "the picture" ? -1
    : scene.layers.findIndex((layer) => layer.name === name);
  if (number < 0 && name !== "the picture") {
    return null;
  }
  const numbers = (texts) => (texts.length && texts.every((one) => /^\d+$/.test(one))
    ? texts.map(Number) : null);
  const tab = TABS.some(([one]) => one === asked.get("show")) ? asked.get("show") : "value";
  return { number, tab, place: numbers(rest), weight: numbers((asked.get("weight") ?? "").split(",")) };
}

/** Draws an explorer into an element; `source` as in source.js. */
export function mount(root, source, options = {}) {
  return new Explorer(root, source, options);
}
