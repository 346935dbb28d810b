// From keys held down and a tilt to an action vector, as dreamgym/play/controls.py does it.

/** Keys are switches: each number of the action moves towards what is held, at the manifest's rates. */
export class Controls {
  constructor(actions) {
    this.keys = actions.keys;
    this.size = actions.low.length;
    this.release();
    this.vector = new Array(this.size).fill(0);
  }

  press(key) {
    this.held |= 1 << key;
    this.tapped |= 1 << key;
  }

  lift(key) {
    this.held &= ~(1 << key);
  }

  release() {
    this.held = this.tapped = 0;
    this.tilt = 0;
  }

  get touched() {
    return this.held !== 0 || this.tapped !== 0;
  }

  /** Held keys as bits, those among them that were only tapped since the last call. */
  take() {
    const bits = this.held | this.tapped;
    this.tapped = 0;
    return bits;
  }

  /** The number that a tilt moves: the first one with a key each way; -1 for none. */
  get tilted() {
    const both = (number) => [-1, 1].every((sign) => this.keys.some((key) => key.number === number && key.value * sign > 0));
    return this.keys.find((key) => both(key.number))?.number ?? -1;
  }

  /** Lets time pass with keys held, as bits, and a tilt in [-1, 1]; gives the action vector. */
  advance(bits, tilt, seconds) {
    for (let number = 0; number < this.size; number++) {
      const keys = this.keys.filter((key) => key.number === number);
      const wanted = keys.reduce((sum, key) => sum + (bits & (1 << this.keys.indexOf(key)) ? key.value : 0), 0);
      if (!keys.length) {
        this.vector[number] = 0; // whatever the agent had there
        continue;
      }
      const now = this.vector[number];
      const moving = keys.find((key) => key.value * (wanted || now) > 0) ?? keys[0];
      const step = (wanted !== 0 && now * wanted >= 0 ? (moving.on ?? Infinity) : (moving.off ?? Infinity)) * seconds;
      this.vector[number] = now < wanted ? Math.min(now + step, wanted) : Math.max(now - step, wanted);
    }
    const vector = this.vector.slice();
    if (tilt) vector[this.tilted] = tilt * this.reach(tilt);
    return vector;
  }

  /** How far the keys move the tilted number to the side of a tilt. */
  reach(tilt) {
    const side = this.keys.filter((key) => key.number === this.tilted && key.value * tilt > 0);
    return Math.max(...side.map((key) => Math.abs(key.value)));
  }
}

/** Where the device says how it is turned, a tilt in [-1, 1] for `onTilt`; false where it does not or may not. */
export async function listenToTilt(onTilt) {
  const sensor = globalThis.DeviceOrientationEvent;
  if (!sensor || (sensor.requestPermission && (await sensor.requestPermission()) !== "granted")) return false;
  addEventListener("deviceorientation", ({ beta, gamma }) => {
    if (beta === null) return;
    const angle = screen.orientation?.angle ?? 0;
    const degrees = { 0: gamma, 90: beta, 180: -gamma, 270: -beta }[angle] ?? gamma;
    onTilt(Math.min(Math.max(degrees / 30, -1), 1));
  });
  return true;
}

// What browsers call the keys that pygame names otherwise, by its constants ("lshift") or by its own names ("left shift").
const BROWSER_KEYS = {
  return: "enter", kp_enter: "enter", lshift: "shift", rshift: "shift",
  minus: "-", plus: "+", equals: "=", comma: ",", period: ".", slash: "/", semicolon: ";", quote: "'", leftbracket: "[",
  rightbracket: "]", backslash: "\\", backquote: "`", kp_plus: "+", kp_minus: "-", kp_multiply: "*", kp_divide: "/", kp_period: ".",
};

export function browserKey(name) {
  const plain = name.toLowerCase().replace(/^(left|right) shift$/, "lshift");
  const padKey = /^(?:kp_?(\d)|\[(.)\])$/.exec(plain);
  return padKey ? (padKey[1] ?? padKey[2]) : (BROWSER_KEYS[plain] ?? (plain.length > 1 ? plain.replaceAll(" ", "") : plain));
}
