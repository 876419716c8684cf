// CUDA's declarations for the processor: the kernels' own sources run with it as they are.
//
// The threads of a block are fibers of one thread of the processor. Each runs until it waits for
// others: at __syncthreads for its block, at a shuffle for its warp. Where some wait and the
// others do not come, the program ends with a message. Which fiber runs first is chosen by the
// caller, so that a kernel that forgets to wait gives other results in another order.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#define __device__
#define __global__
#define __shared__ static thread_local
#define __launch_bounds__(n)

struct Index {
    unsigned int x, y, z;
};

namespace emulator {

struct Fiber {
    Index thread;
    void *stack_pointer;
    int state;
    // Which of the warp's two rows of places the next shuffle uses.
    int side;
};

extern thread_local Fiber *current;
extern thread_local Index block_index, block_size, grid_size;
extern thread_local float *dynamic_shared;

void wait_for_block();
// Gives the warp's other lanes this one's value; returns the value of the lane `other`.
uint32_t exchange(uint32_t value, unsigned int other);

}  // namespace emulator

#define threadIdx (emulator::current->thread)
#define blockIdx (emulator::block_index)
#define blockDim (emulator::block_size)
#define gridDim (emulator::grid_size)
#define __syncthreads() emulator::wait_for_block()
#define DYNAMIC_SHARED(name) float *name = emulator::dynamic_shared

inline float __shfl_xor_sync(unsigned int, float value, int mask) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    bits = emulator::exchange(bits, (threadIdx.x % 32) ^ static_cast<unsigned int>(mask));
    std::memcpy(&value, &bits, sizeof bits);
    return value;
}

struct __nv_bfloat16 {
    uint16_t bits;
};

inline float __bfloat162float(__nv_bfloat16 x) {
    uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// To the nearest, halves to the even one.
inline __nv_bfloat16 __float2bfloat16(float value) {
    if (std::isnan(value)) return {0x7fff};
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

inline unsigned int min(unsigned int a, unsigned int b) { return a < b ? a : b; }
using std::isfinite;
