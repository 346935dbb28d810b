// What the page shows of a session: picture, numbers, gauges, keys, pads. Built from the manifest, of any world.

const ARROWS = { left: "←", right: "→", up: "↑", down: "↓", space: "Space" };
const STARTS = { beginning: "the start", anywhere: "somewhere on the way", hard: "a hard moment" };
const KEYS = [["C", "Agent or you"], ["Space", "Start, pause"], ["R", "Restart"], ["N", "New dream"],
  ["−", "Cooler"], ["+", "Warmer"], ["F", "Look ahead"]];

export const element = (id) => document.getElementById(id);

function make(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export const signed = (value, digits = 1) => value.toFixed(digits).replace("-", "−");
const capital = (text) => text[0].toUpperCase() + text.slice(1);
const cap = (key) => ARROWS[key.keys[0]] ?? key.keys[0].toUpperCase();

export function worldName({ world }) {
  return world.replace(/([a-z])([A-Z])/g, "$1 $2");
}

/** Draws RGBA bytes of 64 x 64 pixels into a canvas of that size. */
export function paint(canvas, picture) {
  canvas.getContext("2d").putImageData(new ImageData(picture, 64, 64), 0, 0);
}

export class View {
  constructor(session) {
    const { manifest, compiled, controller } = session.dream;
    this.session = session;
    const [width, height] = manifest.proportions;
    document.documentElement.style.setProperty("--proportions", width / height);
    document.title = `Inside a dream of ${worldName(manifest)}`;
    element("world").textContent = worldName(manifest);
    element("fps").textContent = manifest.fps;
    element("share-of-whole").hidden = element("progress").hidden = manifest.rewards.cap === null;
    element("engine").textContent = compiled ? "" : "This browser has no WebAssembly SIMD; plain JavaScript dreams, slower.";
    element("driver").hidden = controller === null;
    [element("temperature").min, element("temperature").max] = session.temperatures.map((degrees) => degrees / 100);
    for (const kind of Object.keys(manifest.starts)) {
      element("kind").append(make("option", { value: kind, textContent: STARTS[kind] ?? kind }));
    }
    this.gauges = manifest.actions.names.map((name) => this.addGauge(name));
    this.pads = manifest.actions.keys.map((key, index) => this.addPad(key, index));
    this.caps = manifest.actions.keys.map(cap).join(" ");
    const own = manifest.actions.keys.map((key) => [cap(key), capital(key.label)]);
    for (const [key, label] of [...own, ...KEYS.slice(controller === null ? 1 : 0)]) {
      element("keys").append(make("div", {}, make("dt", {}, make("kbd", { textContent: key })), make("dd", { textContent: label })));
    }
  }

  addGauge(name) {
    const bar = make("i");
    element("gauges").append(make("span", { textContent: capital(name) }), make("div", { className: "gauge" }, bar));
    return bar;
  }

  /** A button for fingers: keys that go both ways on one number to the left thumb, the others to the right one. */
  addPad(key, index) {
    const { keys } = this.session.dream.manifest.actions;
    const both = keys.some((other) => other.number === key.number && other.value * key.value < 0);
    const pad = make("button", { tabIndex: -1 }, make("b", { textContent: cap(key) }), capital(key.label));
    pad.dataset.key = index;
    element(both ? "pads-left" : "pads-right").append(pad);
    return pad;
  }

  /** Everything that changes from step to step. */
  show() {
    const { dream, action, inputs } = this.session;
    const { manifest } = dream;
    const { low, high } = manifest.actions;
    paint(element("picture"), dream.picture());
    element("score").textContent = signed(dream.score);
    element("time").textContent = `${(dream.elapsed / manifest.fps).toFixed(1)} s`;
    if (manifest.rewards.cap !== null) {
      const share = `${Math.max(0, Math.floor((100 * dream.progress) / manifest.rewards.cap))} %`;
      element("share").textContent = share;
      element("progress").firstElementChild.style.width = share.replace(" ", "");
    }
    this.gauges.forEach((bar, i) => {
      const at = (value) => (100 * (value - low[i])) / (high[i] - low[i]);
      const [from, to] = [at(Math.min(action[i], 0)), at(Math.max(action[i], 0))];
      Object.assign(bar.style, { left: `${from}%`, width: `${to - from}%` });
    });
    this.pads.forEach((pad, i) => pad.classList.toggle("held", Boolean(inputs.held & (1 << i)) && !this.session.agentPlays));
  }

  /** Everything that changes by a choice. */
  showChoices(running) {
    const { session } = this;
    const degrees = element("temperature");
    element("degrees").textContent = session.temperature.toFixed(2);
    degrees.value = session.temperature;
    degrees.setAttribute("aria-valuetext", session.temperature.toFixed(2));
    element("driver").setAttribute("aria-pressed", session.agentPlays);
    element("driver").lastElementChild.textContent = session.agentPlays ? "Agent plays" : "You play";
    element("pause").lastElementChild.textContent = running ? "Pause" : "Start";
    element("seed").value = session.seed;
    element("kind").value = session.kind;
    element("future-driver").textContent = session.agentPlays ? ", with the agent at the controls" : ", with your last action held";
  }

  /** The veil over the picture: a button, a line under it, and at an end what the dream came to. */
  showOverlay({ button, hint, end = "" }) {
    element("overlay").hidden = false;
    element("start").textContent = button;
    element("start").disabled = false;
    element("hint").textContent = hint;
    element("end").hidden = end === "";
    element("end").textContent = end;
  }

  /** A message in place of everything, where nothing can be dreamt. */
  static fail(message) {
    element("overlay").hidden = false;
    element("start").hidden = true;
    element("hint").textContent = message;
    element("hint").setAttribute("role", "alert");
  }

  /** Rows of pictures of the next two seconds, one for each temperature. */
  showFuture(temperatures, pictures, seconds) {
    const { fps } = this.session.dream.manifest;
    const stepsEach = Math.max(1, Math.round((seconds * fps) / pictures));
    const times = Array.from({ length: pictures }, (_, i) => make("span", { textContent: `${(((i + 1) * stepsEach) / fps).toFixed(1)} s` }));
    const rows = temperatures.map((temperature) => {
      const row = make("div", { className: "row" }, make("output", { textContent: temperature.toFixed(2) }));
      const draw = (index, picture, over) => {
        const canvas = make("canvas", { width: 64, height: 64, className: over ? "over" : "" });
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", `temperature ${temperature}, ${times[index].textContent} ahead${over ? ", ended" : ""}`);
        paint(canvas, picture);
        row.append(canvas);
      };
      this.session.lookAhead(temperature, pictures, stepsEach, draw);
      return row;
    });
    element("rows").hidden = false;
    element("rows").replaceChildren(make("div", { className: "row times" }, make("span"), ...times), ...rows);
  }
}
