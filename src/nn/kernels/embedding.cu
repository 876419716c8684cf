// Embedding tables, their gradients, and the rows that a head reads.
#include "common.cuh"

// y (tokens, width) = or += the rows of the table that the ids name. An id that the table lacks
// gives what is not a number, which ends the training with an error.
extern "C" __global__ void embedding_forward(const float *table, const u32 *ids, float *y, u32 n,
                                             u32 width, u32 n_table_rows, u32 is_first) {
    u32 i = thread_number();
    if (i >= n) return;
    u32 id = ids[i / width];
    float value = id < n_table_rows ? table[static_cast<size_t>(id) * width + i % width] : NAN;
    y[i] = is_first ? value : y[i] + value;
}

// Tokens that one block of the first step works on.
const int TOKENS = 128;
// No token follows that has the same id.
const u32 LAST = 0xffffffffu;

// The gradient of a table in two steps. First, in each chunk of tokens: the rows of dy of one id
// are added up in their order, into the row of the id's first token in the chunk, which gets the
// id as its key; the other tokens get the key LAST. Grid: chunks, columns / threads.
extern "C" __global__ void embedding_chunk_sums(const float *dy, const u32 *ids, float *sums,
                                                u32 *keys, u32 n_tokens, u32 width) {
    __shared__ u32 next[TOKENS];
    __shared__ u32 is_leader[TOKENS];
    u32 first = blockIdx.x * TOKENS;
    u32 n_here = min(static_cast<u32>(TOKENS), n_tokens - first);
    for (u32 i = threadIdx.x; i < n_here; i += blockDim.x) {
        u32 id = ids[first + i];
        u32 follows = LAST, leads = 1;
        for (u32 j = i + 1; j < n_here && follows == LAST; j++) {
            if (ids[first + j] == id) follows = j;
        }
        for (u32 j = 0; j < i && leads; j++) {
            if (ids[first + j] == id) leads = 0;
        }
        next[i] = follows;
        is_leader[i] = leads;
        if (blockIdx.y == 0) keys[first + i] = leads ? id : LAST;
    }
    __syncthreads();
    u32 column = blockIdx.y * blockDim.x + threadIdx.x;
    if (column >= width) return;
    for (u32 i = 0; i < n_here; i++) {
        if (!is_leader[i]) continue;
        float sum = 0.0f;
        for (u32 j = i; j != LAST; j = next[j]) {
            sum += dy[static_cast<size_t>(first + j) * width + column];
        }
        sums[static_cast<size_t>(first + i) * width + column] = sum;
    }
}

// Second, a block for each token: where the token is the first of all with its key, the sums of
// that key are added in their order to the row of the table's gradient.
extern "C" __global__ void embedding_add_sums(float *gradient, const float *sums, const u32 *keys,
                                              u32 n_tokens, u32 width, u32 n_table_rows) {
    u32 token = blockIdx.x, key = keys[token];
    // The whole block leaves together.
    if (key == LAST || key >= n_table_rows) return;
    __shared__ u32 n_before;
    if (threadIdx.x == 0) n_before = 0;
    __syncthreads();
    for (u32 i = threadIdx.x; i < token; i += blockDim.x) {
        // All who write write the same.
        if (keys[i] == key) n_before = 1;
    }
    __syncthreads();
    if (n_before) return;
    for (u32 column = threadIdx.x; column < width; column += blockDim.x) {
        size_t to = static_cast<size_t>(key) * width + column;
        float sum = gradient[to];
        for (u32 i = token; i < n_tokens; i++) {
            if (keys[i] == key) sum += sums[static_cast<size_t>(i) * width + column];
        }
        gradient[to] = sum;
    }
}

// x (tokens, width) -> y (sequences, width): the first rows of the sequences.
extern "C" __global__ void first_tokens_forward(const float *x, const u32 *limits, float *y, u32 n,
                                                u32 width) {
    u32 i = thread_number();
    if (i >= n) return;
    y[i] = x[static_cast<size_t>(limits[i / width]) * width + i % width];
}

// dy (sequences, width) -> the first rows of dx (tokens, width), whose other rows stay.
extern "C" __global__ void first_tokens_backward(const float *dy, const u32 *limits, float *dx,
                                                 u32 n, u32 width) {
    u32 i = thread_number();
    if (i >= n) return;
    dx[static_cast<size_t>(limits[i / width]) * width + i % width] = dy[i];
}

// x (tokens, width) -> y (sequences, width): the means of the sequences' rows.
extern "C" __global__ void mean_tokens_forward(const float *x, const u32 *limits, float *y, u32 n,
                                               u32 width) {
    u32 i = thread_number();
    if (i >= n) return;
    u32 first = limits[i / width], end = limits[i / width + 1];
    float sum = 0.0f;
    for (u32 token = first; token < end; token++) {
        sum += x[static_cast<size_t>(token) * width + i % width];
    }
    y[i] = sum / (end - first);
}

// dy (sequences, width) -> dx (tokens, width). A block for each sequence.
extern "C" __global__ void mean_tokens_backward(const float *dy, const u32 *limits, float *dx,
                                                u32 width) {
    u32 first = limits[blockIdx.x], end = limits[blockIdx.x + 1];
    for (u32 column = threadIdx.x; column < width; column += blockDim.x) {
        float gradient = dy[static_cast<size_t>(blockIdx.x) * width + column] / (end - first);
        for (u32 token = first; token < end; token++) {
            dx[static_cast<size_t>(token) * width + column] = gradient;
        }
    }
}
