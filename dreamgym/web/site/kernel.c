// The dream's two loops. M's products are in float64, for M amplifies rounding; V's transposed convolutions of stride 2,
// over pictures of (side, side, channels), are in float32. dream.js has these loops again for browsers without
// WebAssembly SIMD; both add in the same order and precision, so both give the same bits.
//
//   clang --target=wasm32 -O3 -msimd128 -ffp-contract=off -nostdlib -Wl,--no-entry -Wl,--export-dynamic \
//     -Wl,--export=__heap_base -Wl,--strip-all -o kernel.wasm kernel.c

typedef float Vector __attribute__((vector_size(16)));
typedef int Bits __attribute__((vector_size(16)));
typedef float Halves __attribute__((vector_size(8)));
typedef double Doubles __attribute__((vector_size(16)));

static inline __attribute__((always_inline)) Doubles widened(const float *at) {
  return __builtin_convertvector(*(const Halves *)at, Doubles);
}

// The outputs first to first + 2 * count of product: stay in registers while all inputs are added.
static inline __attribute__((always_inline)) void sums(const double *input, int inputs, const float *weight,
                                                       const float *bias, int outputs, int first, int count,
                                                       double *output) {
  Doubles sum[8];
  for (int i = 0; i < count; i++) sum[i] = widened(bias + first + 2 * i);
  weight += first;
  for (int at = 0; at < inputs; at++, weight += outputs) {
    Doubles all = {input[at], input[at]};
    for (int i = 0; i < count; i++) sum[i] += all * widened(weight + 2 * i);
  }
  for (int i = 0; i < count; i++) *(Doubles *)(output + first + 2 * i) = sum[i];
}

// input (inputs), weight (inputs, outputs), bias (outputs); outputs is a multiple of 4. Writes output (outputs).
__attribute__((visibility("default"))) void product(const double *input, int inputs, const float *weight,
                                                     const float *bias, int outputs, double *output) {
  int first = 0;
  for (; first + 16 <= outputs; first += 16) sums(input, inputs, weight, bias, outputs, first, 8, output);
  for (; first < outputs; first += 4) sums(input, inputs, weight, bias, outputs, first, 2, output);
}

typedef struct {
  const float *input, *weight, *bias;
  int side, inputs, kernel, outputs, rectify;
} Layer;

// The output pixel (y, x), channels first to first + 4 * count: stays in registers while all inputs are added.
static inline __attribute__((always_inline)) void pixel(const Layer *of, int y, int x, int first, int count, float *to) {
  Vector sum[8];
  for (int i = 0; i < count; i++) sum[i] = *(const Vector *)(of->bias + first + 4 * i);
  for (int ky = y & 1; ky < of->kernel; ky += 2) {
    int row = (y - ky) / 2;
    if (ky > y || row >= of->side) continue;
    for (int kx = x & 1; kx < of->kernel; kx += 2) {
      int column = (x - kx) / 2;
      if (kx > x || column >= of->side) continue;
      const float *in = of->input + (row * of->side + column) * of->inputs;
      const float *weight = of->weight + (ky * of->kernel + kx) * of->inputs * of->outputs + first;
      for (int channel = 0; channel < of->inputs; channel++, weight += of->outputs) {
        float value = in[channel];
        if (value == 0.0f) continue;  // half of them are, after the rectifier
        Vector all = {value, value, value, value};
        for (int i = 0; i < count; i++) sum[i] += all * *(const Vector *)(weight + 4 * i);
      }
    }
  }
  for (int i = 0; i < count; i++) {
    if (of->rectify) sum[i] = (Vector)((Bits)sum[i] & (Bits)(sum[i] > (Vector){0.0f, 0.0f, 0.0f, 0.0f}));
    *(Vector *)(to + first + 4 * i) = sum[i];
  }
}

// input (side, side, inputs), weight (kernel, kernel, inputs, outputs), bias (outputs); outputs is a multiple of 4.
// Writes output (2 side - 2 + kernel, the same, outputs).
__attribute__((visibility("default"))) void layer(const float *input, int side, int inputs, const float *weight,
                                                   const float *bias, int kernel, int outputs, int rectify,
                                                   float *output) {
  Layer of = {input, weight, bias, side, inputs, kernel, outputs, rectify};
  int across = 2 * side - 2 + kernel;
  for (int y = 0; y < across; y++)
    for (int x = 0; x < across; x++, output += outputs) {
      int first = 0;
      for (; first + 32 <= outputs; first += 32) pixel(&of, y, x, first, 8, output);
      for (; first < outputs; first += 4) pixel(&of, y, x, first, 1, output);
    }
}
