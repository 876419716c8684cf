// Activations, gates, dropout, sums and conversions, element by element.
#include "common.cuh"

// The numbers of src/nn/kernels/elementwise.rs.
enum Activation { GELU = 0, GELU_TANH = 1, RELU = 2, TANH = 3 };

__device__ inline float gelu_inner(float x) {
    return 0.7978846f * (x + 0.044715f * x * x * x);
}

// The standard normal distribution, cumulated.
__device__ inline float cumulated_normal(float x) {
    return 0.5f * erfcf(-0.70710678f * x);
}

__device__ inline float activate(float x, u32 activation) {
    switch (activation) {
        case GELU:
            return x * cumulated_normal(x);
        case GELU_TANH:
            return 0.5f * x * (1.0f + tanhf(gelu_inner(x)));
        case RELU:
            return fmaxf(x, 0.0f);
        default:
            return tanhf(x);
    }
}

__device__ inline float slope(float x, u32 activation) {
    switch (activation) {
        case GELU:
            return cumulated_normal(x) + x * 0.3989423f * expf(-0.5f * x * x);
        case GELU_TANH: {
            float t = tanhf(gelu_inner(x));
            float inner_slope = 0.7978846f * (1.0f + 3.0f * 0.044715f * x * x);
            return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * inner_slope;
        }
        case RELU:
            return x > 0.0f ? 1.0f : 0.0f;
        default: {
            float t = tanhf(x);
            return 1.0f - t * t;
        }
    }
}

// x += bias and y = activation(x), both (rows, width); there may be no bias.
extern "C" __global__ void bias_activation_forward(void *x, u32 x_is_bf16, const float *bias,
                                                   void *y, u32 y_is_bf16, u32 n, u32 width,
                                                   u32 activation) {
    u32 i = thread_number();
    if (i >= n) return;
    float value = Values{x, x_is_bf16}[i];
    if (bias != nullptr) {
        Output{x, x_is_bf16}.set(i, value + bias[i % width]);
        value = Values{x, x_is_bf16}[i];
    }
    Output{y, y_is_bf16}.set(i, activate(value, activation));
}

// dx = dy activation'(x).
extern "C" __global__ void activation_backward(const void *dy, u32 dy_is_bf16, const void *x,
                                               u32 x_is_bf16, void *dx, u32 dx_is_bf16, u32 n,
                                               u32 activation) {
    u32 i = thread_number();
    if (i >= n) return;
    float gradient = Values{dy, dy_is_bf16}[i];
    Output{dx, dx_is_bf16}.set(i, gradient * slope(Values{x, x_is_bf16}[i], activation));
}

// x (rows, 2 width) -> y (rows, width) = activation(the first half) times the second.
extern "C" __global__ void gate_forward(const float *x, float *y, u32 n, u32 width,
                                        u32 activation) {
    u32 i = thread_number();
    if (i >= n) return;
    size_t a = static_cast<size_t>(i / width) * 2 * width + i % width;
    y[i] = activate(x[a], activation) * x[a + width];
}

// dy (rows, width), x (rows, 2 width) -> dx (rows, 2 width).
extern "C" __global__ void gate_backward(const float *dy, const float *x, float *dx, u32 n,
                                         u32 width, u32 activation) {
    u32 i = thread_number();
    if (i >= n) return;
    size_t a = static_cast<size_t>(i / width) * 2 * width + i % width;
    dx[a] = dy[i] * x[a + width] * slope(x[a], activation);
    dx[a + width] = activate(x[a], activation) * dy[i];
}

// y = x times its masks.
extern "C" __global__ void dropout(const void *x, u32 x_is_bf16, float *y, u32 n, Masks masks) {
    u32 i = thread_number();
    if (i >= n) return;
    y[i] = Values{x, x_is_bf16}[i] * mask_factor(masks, i);
}

// y = x, stored otherwise.
extern "C" __global__ void convert(const void *x, u32 x_is_bf16, void *y, u32 y_is_bf16, u32 n) {
    u32 i = thread_number();
    if (i >= n) return;
    Output{y, y_is_bf16}.set(i, Values{x, x_is_bf16}[i]);
}

// destination += source.
extern "C" __global__ void add(float *destination, const void *source, u32 source_is_bf16, u32 n) {
    u32 i = thread_number();
    if (i >= n) return;
    destination[i] += Values{source, source_is_bf16}[i];
}

// y (rows, width) += the row.
extern "C" __global__ void add_row(void *y, u32 y_is_bf16, const float *row, u32 n, u32 width) {
    u32 i = thread_number();
    if (i >= n) return;
    Output{y, y_is_bf16}.set(i, Values{y, y_is_bf16}[i] + row[i % width]);
}

// destination = value.
extern "C" __global__ void fill(float *destination, float value, u32 n) {
    u32 i = thread_number();
    if (i >= n) return;
    destination[i] = value;
}

// y = x + number.
extern "C" __global__ void add_number(const u32 *x, u32 *y, u32 number, u32 n) {
    u32 i = thread_number();
    if (i >= n) return;
    y[i] = x[i] + number;
}
