// The page: loads the dream, keeps time, and listens to keys, fingers and tilt.

import { browserKey, listenToTilt } from "./controls.js";
import { openDream } from "./dream.js";
import { encodeGif } from "./gif.js";
import { makeLink, readLink } from "./replay.js";
import { Session } from "./session.js";
import { View, element, signed } from "./view.js";

const MOST_OWED = 0.1; // seconds, but one step at least: a page that was held up does not hurry after
const FUTURE = { pictures: 10, seconds: 2, coldest: 0.1, hottest: 2.5 };
const GIF = { seconds: 8, rate: 12.5, width: 240 };

/** The bytes of a file: of the page itself where it is one file, else from beside it. */
async function bytesOf(name) {
  const inside = document.querySelector(`script[data-file="${name}"]`);
  if (inside) return Uint8Array.from(atob(inside.textContent.trim()), (char) => char.charCodeAt(0));
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`Expected ${name} beside this page, and the server says ${answer.status}.`);
  return new Uint8Array(await answer.arrayBuffer());
}

class Page {
  constructor(session) {
    this.session = session;
    this.view = new View(session);
    this.running = false;
    this.owed = 0;
    this.manifest = session.dream.manifest;
    this.keys = new Map(this.manifest.actions.keys.flatMap((key, index) => key.keys.map((name) => [browserKey(name), index])));
    this.commands = {
      c: () => this.setAgent(!session.agentPlays),
      r: () => this.begin(session.seed, session.start),
      n: () => this.begin(freshSeed()),
      p: () => this.toggle(),
      space: () => this.toggle(),
      f: () => this.lookAhead(),
      "-": () => this.setTemperature(session.temperature - 0.05),
      "+": () => this.setTemperature(session.temperature + 0.05),
      "=": () => this.setTemperature(session.temperature + 0.05),
    };
    this.listen();
    this.openLink();
  }

  // Time

  setRunning(running) {
    this.running = running;
    this.owed = 0;
    this.last = performance.now();
    document.documentElement.classList.toggle("running", running);
    if (running) {
      element("overlay").hidden = true;
      requestAnimationFrame((now) => this.frame(now));
    }
    this.view.showChoices(running);
  }

  frame(now) {
    if (!this.running) return;
    const { session } = this;
    this.owed = Math.min(this.owed + (now - this.last) / 1000, Math.max(MOST_OWED, session.seconds));
    this.last = now;
    const before = session.dream.elapsed;
    while (this.owed >= session.seconds && !session.dream.over && !session.replayed) {
      session.tick();
      this.owed -= session.seconds;
    }
    if (session.dream.elapsed > before) this.view.show(); // screens may be faster than the dream
    if (session.replay) this.view.showChoices(true);
    if (session.dream.over) this.end();
    else if (session.replayed) this.endReplay();
    else requestAnimationFrame((later) => this.frame(later));
  }

  toggle() {
    const { dream } = this.session;
    if (this.running) this.pause("Paused", "Go on");
    else if (dream.over) this.begin(freshSeed(), undefined, true);
    else this.setRunning(true);
    element("screen").focus({ preventScroll: true });
  }

  pause(message, button) {
    this.setRunning(false);
    this.view.showOverlay({ button, hint: this.hint() });
    this.say(message);
  }

  end() {
    const { dream } = this.session;
    const time = `${(dream.elapsed / this.manifest.fps).toFixed(1)} s`;
    const how = { complete: "Complete", ended: "The dream ended", time: "Time is up" }[dream.over];
    this.setRunning(false);
    this.view.showOverlay({ button: "Dream again", hint: `Return ${signed(dream.score)} after ${time}`, end: how });
    this.say(`${how}: return ${signed(dream.score)} after ${time}`);
  }

  endReplay() {
    this.session.leaveReplay();
    this.session.setAgent(false);
    this.pause("The shared dream stops here", "Go on yourself");
  }

  // Choices

  hint() {
    const { session } = this;
    if (session.replay) return "A shared dream, as it was played.";
    const touch = document.documentElement.classList.contains("touch");
    if (session.agentPlays) return `The agent plays. ${touch ? "Touch a pad" : `Press ${this.view.caps}`} to take over.`;
    return touch ? "You play, with the pads." : "You play, with the keys below.";
  }

  begin(seed, start, run = this.running) {
    this.session.begin(seed, start);
    this.view.show();
    this.say(`Dream ${seed}`);
    if (run) this.setRunning(true);
    else {
      this.setRunning(false);
      this.view.showOverlay({ button: "Start", hint: this.hint() });
    }
  }

  setAgent(agent) {
    this.session.setAgent(agent);
    this.view.showChoices(this.running);
    if (!this.running && !this.session.dream.over) element("hint").textContent = this.hint();
    this.say(agent ? "The agent plays" : "You play");
  }

  setTemperature(degrees) {
    this.session.setTemperature(degrees);
    this.view.showChoices(this.running);
  }

  lookAhead() {
    const { session } = this;
    if (this.running) this.pause("Paused", "Go on");
    const temperatures = [FUTURE.coldest, session.temperature, FUTURE.hottest];
    this.view.showFuture(temperatures, FUTURE.pictures, FUTURE.seconds);
    element("rows").scrollIntoView({ block: "nearest" });
    this.say("The next two seconds are drawn");
  }

  say(message) {
    element("status").textContent = message;
  }

  // Sharing

  openLink() {
    const { manifest, session } = this;
    const { seed, start, steps, of, log } = readLink(location.hash, session.temperatures);
    const count = Object.values(manifest.starts).flat().length;
    const known = seed !== undefined && start < count;
    session.begin(known ? seed : freshSeed(), known ? start : undefined, known && log ? { log, steps: steps ?? 0 } : null);
    this.setRunning(false);
    const other = known && of && of !== manifest.fingerprint ? " It was played in another world model: it may go otherwise." : "";
    const broken = (location.hash.length > 1 && !known) || log === null ? " The link was cut, so this is a dream of its own." : "";
    this.view.show();
    this.view.showOverlay({ button: session.replay ? "Watch" : "Start", hint: this.hint() + other + broken });
  }

  async copyLink() {
    const { seed, start, log, dream } = this.session;
    const link = makeLink({ seed, start, steps: dream.elapsed, of: this.manifest.fingerprint, log });
    history.replaceState(null, "", link);
    try {
      await navigator.clipboard.writeText(location.href);
      this.report("link", "Copied");
    } catch {
      this.report("link", "It is in the address bar");
    }
  }

  async saveGif() {
    const { session, manifest } = this;
    if (!session.latents.length) return this.report("gif", "Play a little first");
    if (this.running) this.pause("Paused", "Go on");
    this.report("gif", "Making the GIF");
    await new Promise((resolve) => setTimeout(resolve, 50)); // let it be shown
    const [width, height] = [GIF.width, Math.round((GIF.width * manifest.proportions[1]) / manifest.proportions[0])];
    const small = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
    const large = Object.assign(document.createElement("canvas"), { width, height });
    const brush = large.getContext("2d", { willReadFrequently: true });
    brush.imageSmoothingQuality = "high";
    const frames = [];
    const every = Math.max(1, Math.round(manifest.fps / GIF.rate));
    session.lookBack(GIF.seconds, every, (picture) => {
      small.getContext("2d").putImageData(new ImageData(picture, 64, 64), 0, 0);
      brush.drawImage(small, 0, 0, width, height);
      frames.push(brush.getImageData(0, 0, width, height).data);
    });
    const address = URL.createObjectURL(encodeGif(frames, width, height, Math.round((100 * every) / manifest.fps)));
    Object.assign(document.createElement("a"), { href: address, download: `dream-${session.seed}.gif` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
    return this.report("gif", "Saved");
  }

  /** Says on a button, for a moment, what came of it. */
  report(id, message) {
    const button = element(id);
    button.dataset.label ??= button.textContent;
    button.textContent = message;
    this.say(message);
    clearTimeout(button.timer);
    button.timer = setTimeout(() => (button.textContent = button.dataset.label), 2500);
  }

  // Keys, fingers, tilt

  /** A control was touched: it is yours from now on. */
  takeOver() {
    if (this.session.agentPlays || this.session.replay) this.setAgent(false);
    if (!this.running && !this.session.dream.over) this.setRunning(true);
  }

  listen() {
    const { controls } = this.session;
    addEventListener("keydown", (event) => this.keyDown(event));
    addEventListener("keyup", (event) => {
      const index = this.keys.get(keyName(event));
      if (index !== undefined) controls.lift(index);
    });
    addEventListener("blur", () => controls.release());
    addEventListener("hashchange", () => this.openLink());
    document.addEventListener("visibilitychange", () => document.hidden && this.running && this.pause("Paused", "Go on"));
    if (matchMedia("(any-pointer: coarse)").matches) document.documentElement.classList.add("touch");
    addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch") document.documentElement.classList.add("touch");
    });
    this.view.pads.forEach((pad, index) => this.listenToPad(pad, index));
    const press = { driver: "c", restart: "r", another: "n", pause: "space", start: "space", cooler: "-", warmer: "+", look: "f" };
    for (const [id, command] of Object.entries(press)) element(id).addEventListener("click", this.commands[command]);
    element("link").addEventListener("click", () => this.copyLink());
    element("gif").addEventListener("click", () => this.saveGif());
    element("temperature").addEventListener("input", ({ target }) => this.setTemperature(Number(target.value)));
    element("temperature").addEventListener("pointerup", ({ target }) => target.blur()); // or driving keys would move it
    let pointed = false; // with the keys one goes through the choices, and keeps the focus
    element("kind").addEventListener("pointerdown", () => (pointed = true));
    element("kind").addEventListener("keydown", () => (pointed = false));
    element("kind").addEventListener("change", ({ target }) => {
      if (pointed) target.blur();
      this.session.kind = target.value;
      this.begin(this.session.seed);
    });
    element("seed").addEventListener("change", ({ target }) => this.begin(Math.floor(Math.min(Math.max(Number(target.value) || 0, 0), 999999999))));
    this.offerTilt();
  }

  keyDown(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|SELECT)$/.test(event.target.tagName)) return;
    const name = keyName(event);
    const index = this.keys.get(name);
    if (index !== undefined) {
      event.preventDefault();
      if (event.repeat) return;
      this.session.controls.press(index);
      this.takeOver();
    } else if (name in this.commands && !(name === "space" && /^(BUTTON|A)$/.test(event.target.tagName))) {
      event.preventDefault();
      if (!event.repeat || "-+=".includes(name)) this.commands[name]();
    }
  }

  listenToPad(pad, index) {
    const { controls } = this.session;
    const lift = () => controls.lift(index);
    pad.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      pad.setPointerCapture(event.pointerId);
      controls.press(index);
      this.takeOver();
    });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) pad.addEventListener(kind, lift);
    pad.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  offerTilt() {
    const { controls } = this.session;
    const button = element("tilt");
    button.hidden = controls.tilted < 0 || !("DeviceOrientationEvent" in globalThis) || !matchMedia("(any-pointer: coarse)").matches;
    let on = false;
    let listening = false;
    button.addEventListener("click", async () => {
      listening ||= await listenToTilt((tilt) => (controls.tilt = on ? tilt : 0)).catch(() => false);
      if (!listening) return this.report("tilt", "This device does not say how it is turned");
      on = !on;
      controls.tilt = 0;
      button.setAttribute("aria-pressed", on);
      return on && this.takeOver();
    });
  }
}

function keyName({ key }) {
  return key === " " ? "space" : key.replace(/^Arrow/, "").toLowerCase();
}

function freshSeed() {
  return Math.floor(Math.random() * 1e6);
}

try {
  const [data, kernel] = await Promise.all([bytesOf("dream.safetensors"), bytesOf("kernel.wasm")]);
  globalThis.dreamPage = new Page(new Session(await openDream(data, kernel)));
} catch (error) {
  View.fail(error.message);
}
