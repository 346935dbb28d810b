// One dream after another: seed, start, who plays, what was done. Nothing of it touches the page.

import { Controls } from "./controls.js";
import { noiseKeys, uniform } from "./noise.js";
import { Log, TILT_STEPS } from "./replay.js";

const TEMPERATURES = [5, 250]; // hundredths; and the bundle's own

export class Session {
  constructor(dream) {
    const { manifest } = dream;
    this.dream = dream;
    this.seconds = 1 / manifest.fps;
    this.controls = new Controls(manifest.actions);
    const own = Math.max(1, Math.round(100 * manifest.temperature));
    /** The lowest and the highest temperature, in hundredths. */
    this.temperatures = [Math.min(own, TEMPERATURES[0]), Math.max(own, TEMPERATURES[1])];
    this.inputs = { agent: Number(dream.controller !== null), held: 0, tilt: 0, temperature: 100 };
    this.setTemperature(manifest.temperature);
    this.kind = Object.keys(manifest.starts)[0];
    this.begin(0);
  }

  get temperature() {
    return this.inputs.temperature / 100;
  }

  /** A link made with another bundle may ask for an agent that there is not. */
  get agentPlays() {
    return this.inputs.agent === 1 && this.dream.controller !== null;
  }

  /** Begins the dream of a seed, at a start of the present kind that the seed chooses or at a given one. */
  begin(seed, start = this.chooseStart(seed), replay = null) {
    this.kind = this.kindOf(start);
    Object.assign(this, { seed, start, replay, log: new Log(), latents: [] });
    this.dream.reset(seed, start);
    this.controls.vector.fill(0);
    this.action = this.dream.executed(this.controls.vector);
  }

  /** The kind of a start; the present one where the bundle has no such start. */
  kindOf(start) {
    let end = 0;
    for (const [kind, states] of Object.entries(this.dream.manifest.starts)) {
      end += states.length;
      if (start < end) return kind;
    }
    return this.kind;
  }

  chooseStart(seed) {
    let first = 0;
    for (const [kind, states] of Object.entries(this.dream.manifest.starts)) {
      if (kind === this.kind) return first + Math.floor(uniform(noiseKeys(seed), -1) * states.length);
      first += states.length;
    }
    return 0;
  }

  /** Who plays: the agent, or you. A replay ends here. */
  setAgent(agent) {
    this.leaveReplay();
    this.inputs.agent = Number(agent && this.dream.controller !== null);
  }

  setTemperature(degrees) {
    this.leaveReplay();
    const [lowest, highest] = this.temperatures;
    this.inputs.temperature = Math.min(Math.max(Math.round(100 * degrees), lowest), highest);
  }

  leaveReplay() {
    if (this.replay) this.inputs.held = this.inputs.tilt = 0;
    this.replay = null;
  }

  get replayed() {
    return this.replay !== null && this.dream.elapsed >= this.replay.steps;
  }

  /** One step of the dream. */
  tick() {
    const { dream, controls, inputs } = this;
    if (this.replay) Object.assign(inputs, this.replay.log.apply(dream.elapsed, inputs));
    else Object.assign(inputs, { held: controls.take(), tilt: Math.round(controls.tilt * TILT_STEPS) });
    this.log.note(dream.elapsed, inputs);
    if (this.agentPlays) controls.vector = dream.act();
    const vector = this.agentPlays ? controls.vector : controls.advance(inputs.held, inputs.tilt / TILT_STEPS, this.seconds);
    this.action = dream.executed(vector);
    dream.step(this.action, this.temperature);
    this.latents.push(dream.z.slice());
  }

  /** Pictures of the next steps at a temperature, as `draw(index, picture, over)`; the dream stays where it is. */
  lookAhead(temperature, pictures, stepsEach, draw) {
    const { dream } = this;
    const before = dream.save();
    for (let index = 0; index < pictures; index++) {
      for (let step = 0; step < stepsEach && !dream.over; step++) {
        dream.step(this.agentPlays ? dream.executed(dream.act()) : this.action, temperature);
      }
      draw(index, dream.picture(), Boolean(dream.over));
    }
    dream.restore(before);
  }

  /** Pictures of the steps so far, every so many of the last ones, as `draw(picture)`. */
  lookBack(seconds, every, draw) {
    const { dream, latents } = this;
    const before = dream.save();
    const first = Math.max(0, latents.length - Math.round(seconds / this.seconds));
    for (let step = first; step < latents.length; step += every) {
      dream.z.set(latents[step]);
      draw(dream.picture());
    }
    dream.restore(before);
  }
}
