// Layer norm, with the dropout and the residual sum before it. A warp works on one row.
#include "common.cuh"

// x (rows, width), residual (the same, or none): z = residual + dropout(x), normalized = (z - mean)
// / std, y = gamma normalized + beta (which may be missing). Shared memory: a row for each warp.
extern "C" __global__ void norm_forward(const void *x, u32 x_is_bf16, const float *residual,
                                        Masks masks, const float *gamma, const float *beta,
                                        float epsilon, void *normalized, u32 normalized_is_bf16,
                                        float *y, float *inverse_stds, u32 n_rows, u32 width) {
    DYNAMIC_SHARED(norm_shared);
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    u32 row = blockIdx.x * (blockDim.x / 32) + warp;
    // Whole warps leave together.
    if (row >= n_rows) return;
    float *z = norm_shared + warp * width;
    size_t start = static_cast<size_t>(row) * width;
    Values values = {x, x_is_bf16};
    Output kept = {normalized, normalized_is_bf16};

    float sum = 0.0f;
    for (u32 i = lane; i < width; i += 32) {
        float value = values[start + i];
        if (masks.are_on) value *= mask_factor(masks, start + i);
        if (residual != nullptr) value += residual[start + i];
        z[i] = value;
        sum += value;
    }
    float mean = sum_over_lanes(sum, 32) / width;
    // Each lane reads its own values again, so nothing needs to be waited for.
    float squares = 0.0f;
    for (u32 i = lane; i < width; i += 32) squares += (z[i] - mean) * (z[i] - mean);
    float variance = sum_over_lanes(squares, 32) / width;
    float inverse_std = 1.0f / sqrtf(variance + epsilon);
    for (u32 i = lane; i < width; i += 32) {
        float value = (z[i] - mean) * inverse_std;
        kept.set(start + i, value);
        y[start + i] = gamma[i] * value + (beta != nullptr ? beta[i] : 0.0f);
    }
    if (lane == 0) inverse_stds[row] = inverse_std;
}

// dz = (g - mean(g) - normalized mean(g normalized)) / std with g = gamma dy; where there is
// dropout also dx = dz times its masks.
extern "C" __global__ void norm_backward(const void *dy, u32 dy_is_bf16, const void *normalized,
                                         u32 normalized_is_bf16, const float *inverse_stds,
                                         const float *gamma, Masks masks, float *dz, void *dx,
                                         u32 dx_is_bf16, u32 n_rows, u32 width) {
    u32 lane = threadIdx.x % 32;
    u32 row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (row >= n_rows) return;
    size_t start = static_cast<size_t>(row) * width;
    Values gradients = {dy, dy_is_bf16}, values = {normalized, normalized_is_bf16};

    float sum = 0.0f, weighted = 0.0f;
    for (u32 i = lane; i < width; i += 32) {
        float g = gamma[i] * gradients[start + i];
        sum += g;
        weighted += g * values[start + i];
    }
    float mean = sum_over_lanes(sum, 32) / width;
    float weighted_mean = sum_over_lanes(weighted, 32) / width;
    float inverse_std = inverse_stds[row];
    for (u32 i = lane; i < width; i += 32) {
        float g = gamma[i] * gradients[start + i];
        float gradient = (g - mean - values[start + i] * weighted_mean) * inverse_std;
        dz[start + i] = gradient;
        if (masks.are_on) {
            Output{dx, dx_is_bf16}.set(start + i, gradient * mask_factor(masks, start + i));
        }
    }
}
