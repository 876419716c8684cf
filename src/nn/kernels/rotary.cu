// Rotary positions: queries and keys turned in place.
#include "common.cuh"

// qkv (tokens, 3 D) with heads of width d; tables (positions, d / 2); `n` is tokens times D, one
// thread for each turned pair. `direction` is 1 or -1.
extern "C" __global__ void rotary(void *qkv, u32 is_bf16, const u32 *positions,
                                  const float *cosines, const float *sines, u32 n, u32 model_width,
                                  u32 head_width, float direction) {
    u32 i = thread_number();
    if (i >= n) return;
    u32 half = head_width / 2;
    // Queries and keys hold 2 D values, so D pairs, for each token.
    u32 token = i / model_width;
    u32 pair = i % model_width;
    size_t at = static_cast<size_t>(token) * 3 * model_width + pair / half * head_width + pair % half;
    size_t angle = static_cast<size_t>(positions[token]) * half + pair % half;
    float cosine = cosines[angle], sine = direction * sines[angle];
    float x = Values{qkv, is_bf16}[at], y = Values{qkv, is_bf16}[at + half];
    Output{qkv, is_bf16}.set(at, x * cosine - y * sine);
    Output{qkv, is_bf16}.set(at + half, y * cosine + x * sine);
}
