// What all kernels share: values of f32 or bf16, sums over a warp, and dropout masks.
//
// Every kernel adds its numbers up in an order that depends on the shapes alone, and none uses
// atomic operations, so that two runs give the same bytes.
//
// The same sources are compiled for the processor by tests/cuda/emulate.sh, with emulator.h in the
// place of CUDA's own declarations.
#pragma once

#ifdef __CUDACC__
#include <cuda_bf16.h>
#define DYNAMIC_SHARED(name) extern __shared__ float name[]
#endif

typedef unsigned int u32;
typedef unsigned long long u64;

// Values that are read as f32, however they are stored.
struct Values {
    const void *values;
    u32 is_bf16;

    __device__ float operator[](size_t i) const {
        return is_bf16 ? __bfloat162float(static_cast<const __nv_bfloat16 *>(values)[i])
                       : static_cast<const float *>(values)[i];
    }
};

// Values that are written as f32 and rounded to how they are stored.
struct Output {
    void *values;
    u32 is_bf16;

    __device__ void set(size_t i, float value) const {
        if (is_bf16) {
            static_cast<__nv_bfloat16 *>(values)[i] = __float2bfloat16(value);
        } else {
            static_cast<float *>(values)[i] = value;
        }
    }
};

// The number of this thread among all of a grid of one dimension.
__device__ inline u32 thread_number() {
    return blockIdx.x * blockDim.x + threadIdx.x;
}

// The sum over the lanes whose numbers differ in the bits below `n_lanes` (a power of 2), the
// same for each of them.
__device__ inline float sum_over_lanes(float value, int n_lanes) {
    for (int distance = n_lanes / 2; distance > 0; distance /= 2) {
        value += __shfl_xor_sync(0xffffffffu, value, distance);
    }
    return value;
}

// As sum_over_lanes: the largest of the values.
__device__ inline float largest_over_lanes(float value, int n_lanes) {
    for (int distance = n_lanes / 2; distance > 0; distance /= 2) {
        value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, distance));
    }
    return value;
}

// --- dropout: the draws of src/random.rs (Philox4x32-7), in the order of src/nn/dropout.rs ---

// One place with dropout in one pass.
struct Masks {
    u32 key[2];
    // The upper words of the counter.
    u32 high[3];
    // A draw below it drops its value.
    u32 threshold;
    // What a value that stays is multiplied by.
    float scale;
    u32 are_on;
};

struct Block {
    u32 numbers[4];
};

// Rounds of Philox4x32, as the processor's masks have them.
constexpr int PHILOX_ROUNDS = 7;

__device__ inline Block philox(const Masks &masks, u32 counter) {
    u32 a = counter, b = masks.high[0], c = masks.high[1], d = masks.high[2];
    u32 key_0 = masks.key[0], key_1 = masks.key[1];
    // Not unrolled: it stands in many places, and the module is compiled when it is loaded.
#pragma unroll 1
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        u64 product_0 = static_cast<u64>(0xD2511F53u) * a;
        u64 product_1 = static_cast<u64>(0xCD9E8D57u) * c;
        a = static_cast<u32>(product_1 >> 32) ^ b ^ key_0;
        b = static_cast<u32>(product_1);
        c = static_cast<u32>(product_0 >> 32) ^ d ^ key_1;
        d = static_cast<u32>(product_0);
        key_0 += 0x9E3779B9u;
        key_1 += 0xBB67AE85u;
    }
    return {{a, b, c, d}};
}

// What the values number first, first + 16, ... are multiplied by: 0 or the scale. Of 64 draws in
// a row, the draw i is number i / 16 of block i % 16, so one block serves up to four of these.
template <int N>
__device__ inline void mask_factors(const Masks &masks, u64 first, float (&factors)[N]) {
    u32 last_counter = 0;
    Block block = {{0, 0, 0, 0}};
#pragma unroll
    for (int i = 0; i < N; i++) {
        u64 number = first + 16 * i;
        u32 within = static_cast<u32>(number % 64);
        u32 counter = static_cast<u32>(number / 64) * 16 + within % 16;
        if (i == 0 || counter != last_counter) {
            block = philox(masks, counter);
            last_counter = counter;
        }
        u32 which = within / 16;
        u32 draw = which == 0   ? block.numbers[0]
                   : which == 1 ? block.numbers[1]
                   : which == 2 ? block.numbers[2]
                                : block.numbers[3];
        factors[i] = draw >= masks.threshold ? masks.scale : 0.0f;
    }
}

__device__ inline float mask_factor(const Masks &masks, u64 number) {
    float factor[1];
    mask_factors(masks, number, factor);
    return factor[0];
}
