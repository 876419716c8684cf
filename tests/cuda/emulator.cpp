// Runs a kernel by its name on the processor; emulate.sh compiles this with all kernels into a
// library that src/nn/kernels/emulated.rs opens.
#include "emulator.h"

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "../../src/nn/kernels/all.cu"

#ifndef __x86_64__
#error "the emulator switches stacks in x86-64's assembly"
#endif

// Puts the registers that a call keeps on this stack, and goes on on another.
extern "C" void emulator_switch(void **save_to, void *go_on_at);
asm(R"(
.text
.globl emulator_switch
.hidden emulator_switch
.type emulator_switch, @function
emulator_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
)");

namespace emulator {

thread_local Fiber *current;
thread_local Index block_index, block_size, grid_size;
thread_local float *dynamic_shared;

enum State { READY, AT_BLOCK, AT_WARP, DONE };

const size_t STACK = 64 * 1024;
const unsigned int MOST_THREADS = 1024;
const unsigned int LANES = 32;

using Call = void (*)(void **arguments);

thread_local void *scheduler;
thread_local Fiber fibers[MOST_THREADS];
thread_local uint32_t places[MOST_THREADS / LANES][2][LANES];
thread_local Call kernel;
thread_local void **kernel_arguments;

static void leave(State state) {
    current->state = state;
    emulator_switch(&current->stack_pointer, scheduler);
}

void wait_for_block() { leave(AT_BLOCK); }

uint32_t exchange(uint32_t value, unsigned int other) {
    unsigned int thread = current->thread.x;
    auto &row = places[thread / LANES][current->side];
    current->side = 1 - current->side;
    row[thread % LANES] = value;
    leave(AT_WARP);
    return row[other];
}

static void body() {
    kernel(kernel_arguments);
    leave(DONE);
    std::abort();
}

static void start(Fiber &fiber, unsigned char *stack) {
    // As if `body` had just been called: the stack is 8 off a multiple of 16.
    auto top = reinterpret_cast<uintptr_t>(stack + STACK) & ~uintptr_t{15};
    auto *place = reinterpret_cast<uintptr_t *>(top - 8);
    *--place = reinterpret_cast<uintptr_t>(&body);
    for (int i = 0; i < 6; i++) *--place = 0;
    fiber.stack_pointer = place;
    fiber.state = READY;
    fiber.side = 0;
}

// Lets those go on who all wait for the same; whether there were any.
static bool release(Fiber *first, unsigned int n, State state) {
    unsigned int n_waiting = 0, n_done = 0;
    for (unsigned int i = 0; i < n; i++) {
        n_waiting += first[i].state == state;
        n_done += first[i].state == DONE;
    }
    if (n_waiting == 0 || n_waiting + n_done != n) return false;
    // A shuffle is for all lanes of a warp.
    if (state == AT_WARP && n_done > 0) return false;
    for (unsigned int i = 0; i < n; i++) {
        if (first[i].state == state) first[i].state = READY;
    }
    return true;
}

static void run_block(const char *name, unsigned int n, int order) {
    thread_local std::vector<unsigned char> stacks(MOST_THREADS * STACK);
    for (unsigned int i = 0; i < n; i++) {
        fibers[i].thread = {i, 0, 0};
        start(fibers[i], stacks.data() + i * STACK);
    }
    for (;;) {
        bool has_run = false, all_done = true;
        for (unsigned int turn = 0; turn < n; turn++) {
            // Forwards, backwards, or by every 5th or so.
            unsigned int i = order == 0 ? turn : order == 1 ? n - 1 - turn : turn * 37 % n;
            if (fibers[i].state == READY) {
                current = &fibers[i];
                emulator_switch(&scheduler, current->stack_pointer);
                has_run = true;
            }
        }
        for (unsigned int i = 0; i < n; i++) all_done = all_done && fibers[i].state == DONE;
        if (all_done) return;
        bool released = release(fibers, n, AT_BLOCK);
        for (unsigned int i = 0; i < n; i += LANES) released |= release(fibers + i, LANES, AT_WARP);
        if (!has_run && !released) {
            std::fprintf(stderr, "%s: some threads wait for others that never come\n", name);
            std::abort();
        }
    }
}

template <auto Kernel, class... Parameters, size_t... I>
static void call(void (*)(Parameters...), void **arguments, std::index_sequence<I...>) {
    Kernel(*static_cast<Parameters *>(arguments[I])...);
}

template <auto Kernel, class... Parameters>
static void call(void (*kernel)(Parameters...), void **arguments) {
    call<Kernel>(kernel, arguments, std::index_sequence_for<Parameters...>{});
}

struct Entry {
    const char *name;
    Call call;
};

#define KERNEL(name) {#name, [](void **arguments) { call<&name>(&name, arguments); }},
static const Entry entries[] = {
#include "kernels.inc"
};

}  // namespace emulator

// Runs the kernel `name`; 0 if there is none. `threads` is a multiple of 32.
extern "C" int emulate(const char *name, const unsigned int *grid, unsigned int threads,
                       size_t shared_bytes, void **arguments, int order) {
    using namespace emulator;
    for (const Entry &entry : entries) {
        if (std::strcmp(entry.name, name) != 0) continue;
        if (threads % LANES != 0 || threads > MOST_THREADS) return 0;
        std::vector<float> shared(shared_bytes / sizeof(float));
        kernel = entry.call;
        kernel_arguments = arguments;
        dynamic_shared = shared.data();
        block_size = {threads, 1, 1};
        grid_size = {grid[0], grid[1], 1};
        for (unsigned int y = 0; y < grid[1]; y++) {
            for (unsigned int x = 0; x < grid[0]; x++) {
                block_index = {x, y, 0};
                // What was never written must not be used.
                for (float &value : shared) value = NAN;
                run_block(name, threads, order);
            }
        }
        return 1;
    }
    return 0;
}
