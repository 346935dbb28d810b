// A dream's noise, bit by bit as dreamgym/dream/noise.py: a hash of (seed, counter), so that a seed gives one dream.

const WRAP = (1n << 64n) - 1n;
const GOLDEN = 0x9e3779b97f4a7c15n;

function splitmix(value) {
  value = (value + GOLDEN) & WRAP;
  value = ((value ^ (value >> 30n)) * 0xbf58476d1ce4e5b9n) & WRAP;
  value = ((value ^ (value >> 27n)) * 0x94d049bb133111ebn) & WRAP;
  return value ^ (value >> 31n);
}

/** The two words that key the noise of a seed's first episode. */
export function noiseKeys(seed) {
  const mixed = splitmix(splitmix(BigInt(seed)));
  return [Number(mixed & 0xffffffffn) | 0, Number(mixed >> 32n) | 0];
}

/** A uniform draw on [0, 1), a multiple of 2**-24, named by an integer counter. */
export function uniform(keys, counter) {
  let bits = counter ^ keys[0];
  bits = Math.imul(bits ^ (bits >>> 17), 0xed5ad4bb) ^ keys[1];
  bits = Math.imul(bits ^ (bits >>> 11), 0xac4c1b51);
  bits = Math.imul(bits ^ (bits >>> 15), 0x31848bab);
  return ((bits ^ (bits >>> 14)) >>> 8) / 16777216;
}

// Wichura's AS 241 (PPND16), lowest power first.
const CENTRE = [
  [3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
    45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727],
  [1, 42.313330701600911252, 687.18700749205790830, 5394.1960214247511077,
    21213.794301586595867, 39307.895800092710610, 28729.085735721942674, 5226.4952788528545610],
];
const NEAR = [
  [1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550, 3.64784832476320460504,
    1.27045825245236838258, 0.241780725177450611770, 0.0227238449892691845833, 7.74545014278341407640e-4],
  [1, 2.05319162663775882187, 1.67638483018380384940, 0.689767334985100004550,
    0.148103976427480074590, 0.0151986665636164571966, 5.47593808499534494600e-4, 1.05075007164441684324e-9],
];
const FAR = [
  [6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580, 0.296560571828504891230,
    0.0265321895265761230930, 0.00124266094738807843860, 2.71155556874348757815e-5, 2.01033439929228813265e-7],
  [1, 0.599832206555887937690, 0.136929880922735805310, 0.0148753612908506148525,
    7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15],
];

function ratio([above, below], x) {
  let top = 0;
  let bottom = 0;
  for (let i = 7; i >= 0; i--) {
    top = top * x + above[i];
    bottom = bottom * x + below[i];
  }
  return top / bottom;
}

/** A standard normal draw from a uniform one: the quantile at the middle of its step of 2**-24. */
export function normal(uniformDraw) {
  const p = uniformDraw + 2 ** -25;
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) return q * ratio(CENTRE, 0.180625 - q * q);
  const r = Math.sqrt(-Math.log(q < 0 ? p : 1 - p));
  const size = r <= 5 ? ratio(NEAR, r - 1.6) : ratio(FAR, r - 5);
  return q < 0 ? -size : size;
}
