// The network as a list of its layers with the lines between them: a layer that reads the one above
// hangs on it, and what jumps over layers (a residual branch) is drawn as an arc beside the list.

import { html, refill, svg } from "./dom.js";

const GAP = 13;

/** Layers to choose from; `onchoose(number)` is told which one, -1 for the picture, after the last
 *  layer the end: softmax and the loss. */
export class NetworkList {
  constructor({ onchoose }) {
    this.onchoose = onchoose;
    this.arcs = svg("svg", { class: "arcs", "aria-hidden": "true" });
    this.list = html("ol", { class: "layers", role: "listbox", "aria-label": "layers", tabindex: 0,
      onkeydown: (event) => this.#key(event) });
    this.element = html("nav", { class: "network", "aria-label": "network" }, this.arcs, this.list);
    new ResizeObserver(() => this.#draw()).observe(this.list);
  }

  /** Shows the layers of a scene. */
  show(scene) {
    this.scene = scene;
    const { image, layers } = scene.told;
    const lines = [this.#line(-1, image.name, "Picture", image.shape, "")];
    layers.forEach((layer, number) => {
      const facts = [layer.numbers ? `${layer.numbers.toLocaleString("en")} parameters` : "",
        layer.multiply_adds ? `${layer.multiply_adds.toLocaleString("en")} multiply-adds` : ""];
      lines.push(this.#line(number, layer.name, layer.kind, layer.shape,
        facts.filter((text) => text).join(" · ")));
    });
    const { finish, logits } = scene.told;
    const ends = finish === "softmax" ? "Softmax, loss" : finish === "sigmoid" ? "Sigmoid, loss" : "Loss";
    lines.push(this.#line(layers.length, "", ends, scene.shape(logits), ""));
    refill(this.list, lines);
    this.items = lines;
    this.#draw();
  }

  #line(number, name, kind, shape, facts) {
    const line = html("li", { role: "option", id: `isoconv-layer-${number}`, "aria-selected": "false",
      title: this.scene.told.layers[number]?.settings ?? "", onclick: () => this.onchoose(number) },
    html("span", {}, html("span", { class: "kind" }, kind), " ", html("span", { class: "name" }, name)),
    html("span", { class: "shape" }, shape.join(" × ")),
    facts ? html("span", { class: "facts" }, facts) : null);
    return line;
  }

  /** Shows which layer is chosen. */
  choose(number) {
    this.items.forEach((item, at) => item.setAttribute("aria-selected", String(at === number + 1)));
    const item = this.items[number + 1];
    this.list.setAttribute("aria-activedescendant", item.id);
    this.chosen = number;
    const { top, bottom } = item.getBoundingClientRect();
    const around = this.element.getBoundingClientRect();
    if (top < around.top || bottom > around.bottom) {
      this.element.scrollTop += top - around.top - around.height / 2;
    }
  }

  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -1e9, End: 1e9 }[event.key];
    if (step) {
      event.preventDefault();
      const most = this.items.length - 2;
      this.onchoose(Math.max(-1, Math.min(most, this.chosen + step)));
    }
  }

  #draw() {
    if (!this.items || !this.element.isConnected) {
      return;
    }
    const around = this.list.getBoundingClientRect();
    const middles = this.items.map((item) => {
      const { top, height } = item.getBoundingClientRect();
      return top - around.top + height / 2;
    });
    const jumps = this.scene.told.edges.filter(([from, to]) => to - from > 1)
      .sort(([from, to], [from2, to2]) => (to - from) - (to2 - from2));
    // Arcs that share a stretch lie beside one another.
    const lanes = [];
    const paths = jumps.map(([from, to]) => {
      let lane = lanes.findIndex((taken) => taken.every(([a, b]) => to <= a || from >= b));
      if (lane < 0) {
        lane = lanes.push([]) - 1;
      }
      lanes[lane].push([from, to]);
      const [y0, y1] = [middles[from + 1], middles[to + 1]];
      const x = -6 - (lane + 1) * GAP;
      const bend = Math.min(10, (y1 - y0) / 3);
      return svg("path", { d: `M -4 ${y0} C ${x} ${y0} ${x} ${y0} ${x} ${y0 + bend} L ${x} ${y1 - bend} `
        + `C ${x} ${y1} ${x} ${y1} -6 ${y1}` }, svg("title", {}, this.#told(from, to)));
    });
    const wide = 14 + Math.max(0, lanes.length) * GAP;
    this.list.style.marginLeft = `${wide}px`;
    refill(this.arcs, svg("g", { transform: `translate(${wide} 0)` }, paths));
    this.arcs.style.height = `${around.height}px`;
    this.arcs.style.width = `${wide + 2}px`;
  }

  #told(from, to) {
    const name = (number) => (number < 0 ? "the picture" : `layer ${this.scene.layers[number].name}`);
    return `${name(to)} also reads ${name(from)}`;
  }
}
