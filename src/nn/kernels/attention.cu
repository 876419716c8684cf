// Self-attention over packed sequences; see src/nn/attention.rs for the shapes and formulas.
//
// A block of 256 threads works on one head and one tile: some tokens of one sequence that follow
// each other. It goes through the tokens that these see, or are seen by, tile by tile, so that the
// scores never leave the chip; the softmax is corrected on the way (Dao et al. 2022,
// "FlashAttention"). The backward pass has one kernel for the gradients of the queries and one for
// those of keys and values: each block then writes rows of its own, and nothing is added up in an
// order that could change.
//
// DeBERTa's scores have terms with the distance of query and key, see
// src/nn/disentangled_attention.rs. The products of all tokens with all rows of the relative tables
// come as matrices of their own; the kernels here look up what belongs to a pair, and add up, for
// the way back, the scores' gradients of each token by row.
//
// The threads stand in 16 rows of 16. A thread holds, of a tile's R x 16 rows and a matrix's
// columns, those whose numbers are its own modulo 16.
#include "common.cuh"

// A tile of the list that the host makes: some tokens of a sequence.
struct Tile {
    // The number of the sequence's first token in the batch, and the sequence's length.
    u32 start, length;
    // The tile's first token, counted in the sequence.
    u32 first;
    // How far a token sees; the length or more where it sees the whole sequence.
    u32 window, is_windowed;
    // The number of the sequence's first group of 64 dropout draws, and its groups per head.
    u32 first_group, n_groups;
};

// The tokens that one or more of `n` tokens from the tile's `first` on see, as a range.
__device__ inline void range_seen(const Tile &tile, u32 n, u32 *begin, u32 *end) {
    *begin = tile.first > tile.window ? tile.first - tile.window : 0;
    u64 last = static_cast<u64>(tile.first) + n + tile.window;
    *end = last < tile.length ? static_cast<u32>(last) : tile.length;
}

__device__ inline bool sees(const Tile &tile, u32 i, u32 j) {
    return i < tile.length && j < tile.length && (i > j ? i - j : j - i) <= tile.window;
}

// The number of the dropout draw for the query i and the key j of a head.
__device__ inline u64 draw(const Tile &tile, u32 head, u32 i, u32 j) {
    u64 first = (static_cast<u64>(tile.first_group) + static_cast<u64>(head) * tile.n_groups) * 64;
    if (!tile.is_windowed) return first + static_cast<u64>(i) * tile.length + j;
    return first + static_cast<u64>(i) * (2 * tile.window + 1) + tile.window + j - i;
}

// The terms with positions; those that a model does not have are null. `rows` has the row of the
// relative tables for the distances longest - 1 down to 1 - longest of query and key.
struct Terms {
    // (H, T, rows): the products of queries, or of keys, with the rows of their table; or room for
    // the gradients of these.
    float *of_queries, *of_keys;
    const u32 *rows;
    u32 n_tokens, n_rows, longest;
    // What the sum of all terms is multiplied by.
    float scale;

    __device__ u32 row(u32 i, u32 j) const { return rows[longest - 1 + j - i]; }

    // Where the values of a token begin.
    __device__ size_t at(u32 head, u32 token) const {
        return (static_cast<size_t>(head) * n_tokens + token) * n_rows;
    }

    // What the terms add to the product of the query i and the key j, if the sequence has both.
    __device__ float of_pair(const Tile &tile, u32 head, u32 i, u32 j) const {
        if (rows == nullptr || i >= tile.length || j >= tile.length) return 0.0f;
        u32 place = row(i, j);
        float sum = 0.0f;
        if (of_queries != nullptr) sum += of_queries[at(head, tile.start + i) + place];
        if (of_keys != nullptr) sum += of_keys[at(head, tile.start + j) + place];
        return sum;
    }
};

// One token's sums of gradients by row. The row falls or rises with the other token's number, so
// those of one row follow each other: a thread keeps the sum of one row at a time.
struct RowSums {
    float *sums;
    u32 row;
    float sum;

    __device__ void add(u32 of_row, float value) {
        if (of_row != row) {
            put();
            row = of_row;
            sum = 0.0f;
        }
        sum += value;
    }

    __device__ void put() const {
        if (row != 0xffffffffu) sums[row] = sum;
    }
};

// The sums of a thread's own token of a tile; null where it has none.
__device__ inline RowSums row_sums(float *gradients, const Terms &terms, const Tile &tile,
                                   u32 n_tokens_per_tile, u32 head) {
    u32 token = tile.first + threadIdx.x;
    bool has_one = gradients != nullptr && threadIdx.x < n_tokens_per_tile && token < tile.length;
    return {has_one ? gradients + terms.at(head, tile.start + token) : nullptr, 0xffffffffu, 0.0f};
}

// One head of a (tokens, columns) matrix.
struct Head {
    Values values;
    u32 columns, first_column, width;
};

// Copies a sequence's tokens `first` to `first + 16 R - 1` to shared memory, 0 where there is none.
template <int R, int C>
__device__ inline void load(float *to, u32 stride, const Head &head, const Tile &tile, u32 first) {
    u32 x = threadIdx.x % 16, y = threadIdx.x / 16;
#pragma unroll
    for (int a = 0; a < R; a++) {
        u32 row = y + 16 * a, token = first + row;
        size_t from = static_cast<size_t>(tile.start + token) * head.columns + head.first_column;
#pragma unroll
        for (int c = 0; c < C; c++) {
            u32 feature = x + 16 * c;
            if (feature >= head.width) continue;
            to[row * stride + feature] = token < tile.length ? head.values[from + feature] : 0.0f;
        }
    }
}

// sums[a][b] = the product of row y + 16 a of `left` and row x + 16 b of `right`.
template <int R>
__device__ inline void multiply(float (&sums)[R][R], const float *left, const float *right,
                                u32 stride, u32 width) {
    u32 x = threadIdx.x % 16, y = threadIdx.x / 16;
#pragma unroll
    for (int a = 0; a < R; a++)
#pragma unroll
        for (int b = 0; b < R; b++) sums[a][b] = 0.0f;
    for (u32 feature = 0; feature < width; feature++) {
        float of_left[R], of_right[R];
#pragma unroll
        for (int a = 0; a < R; a++) of_left[a] = left[(y + 16 * a) * stride + feature];
#pragma unroll
        for (int b = 0; b < R; b++) of_right[b] = right[(x + 16 * b) * stride + feature];
#pragma unroll
        for (int a = 0; a < R; a++)
#pragma unroll
            for (int b = 0; b < R; b++) sums[a][b] += of_left[a] * of_right[b];
    }
}

// sums[a][c] += row y + 16 a of `weights` times column x + 16 c of `rows`.
template <int R, int C>
__device__ inline void add_weighted_rows(float (&sums)[R][C], const float *weights,
                                         const float *rows, u32 stride) {
    u32 x = threadIdx.x % 16, y = threadIdx.x / 16;
    for (int j = 0; j < 16 * R; j++) {
        float weight[R], value[C];
#pragma unroll
        for (int a = 0; a < R; a++) weight[a] = weights[(y + 16 * a) * (16 * R + 1) + j];
#pragma unroll
        for (int c = 0; c < C; c++) value[c] = rows[j * stride + x + 16 * c];
#pragma unroll
        for (int a = 0; a < R; a++)
#pragma unroll
            for (int c = 0; c < C; c++) sums[a][c] += weight[a] * value[c];
    }
}

// Puts the threads' values of a tile of weights to shared memory.
template <int R>
__device__ inline void store(float *weights, const float (&values)[R][R]) {
    u32 x = threadIdx.x % 16, y = threadIdx.x / 16;
#pragma unroll
    for (int a = 0; a < R; a++)
#pragma unroll
        for (int b = 0; b < R; b++) weights[(y + 16 * a) * (16 * R + 1) + x + 16 * b] = values[a][b];
}

// Writes the tile's rows of one head of a (tokens, columns) matrix.
template <int R, int C>
__device__ inline void write(const Output &to, u32 columns, u32 first_column, u32 width,
                             const Tile &tile, const float (&values)[R][C], float scale) {
    u32 x = threadIdx.x % 16, y = threadIdx.x / 16;
#pragma unroll
    for (int a = 0; a < R; a++) {
        u32 token = tile.first + y + 16 * a;
        if (token >= tile.length) continue;
        size_t row = static_cast<size_t>(tile.start + token) * columns + first_column;
#pragma unroll
        for (int c = 0; c < C; c++) {
            if (x + 16 * c < width) to.set(row + x + 16 * c, values[a][c] * scale);
        }
    }
}

template <int R, int C>
__device__ inline void set_to_zero(float (&values)[R][C]) {
#pragma unroll
    for (int a = 0; a < R; a++)
#pragma unroll
        for (int c = 0; c < C; c++) values[a][c] = 0.0f;
}

// qkv (T, 3 D) -> y (T, D) and the logarithms of the sums of exponentials (T, H).
template <int R, int C>
__device__ inline void forward(const Values &qkv, const Output &output, float *log_sums,
                               const Tile &tile, u32 n_heads, u32 width, const Terms &terms,
                               const Masks &masks) {
    DYNAMIC_SHARED(attention_shared);
    const u32 stride = 16 * C + 1;
    float *queries = attention_shared, *others = queries + 16 * R * stride;
    float *weights = others + 16 * R * stride;
    u32 x = threadIdx.x % 16, y = threadIdx.x / 16;
    u32 h = blockIdx.y, model_width = n_heads * width;
    Head q = {qkv, 3 * model_width, h * width, width};
    Head k = {qkv, 3 * model_width, model_width + h * width, width};
    Head v = {qkv, 3 * model_width, 2 * model_width + h * width, width};

    float sums[R][C], largest[R], totals[R];
    set_to_zero(sums);
    for (int a = 0; a < R; a++) {
        largest[a] = -INFINITY;
        totals[a] = 0.0f;
    }
    u32 begin, end;
    range_seen(tile, 16 * R, &begin, &end);
    load<R, C>(queries, stride, q, tile, tile.first);
    for (u32 first = begin; first < end; first += 16 * R) {
        __syncthreads();
        load<R, C>(others, stride, k, tile, first);
        __syncthreads();
        float scores[R][R];
        multiply(scores, queries, others, stride, width);
#pragma unroll
        for (int a = 0; a < R; a++) {
            u32 i = tile.first + y + 16 * a;
            float new_largest = largest[a];
#pragma unroll
            for (int b = 0; b < R; b++) {
                u32 j = first + x + 16 * b;
                float score = (scores[a][b] + terms.of_pair(tile, h, i, j)) * terms.scale;
                scores[a][b] = sees(tile, i, j) ? score : -INFINITY;
                new_largest = fmaxf(new_largest, scores[a][b]);
            }
            new_largest = largest_over_lanes(new_largest, 16);
            // Where nothing was seen yet, nothing is there to be corrected.
            bool has_seen = new_largest > -INFINITY;
            float correction = has_seen ? expf(largest[a] - new_largest) : 1.0f;
            float total = 0.0f, factors[R];
            if (masks.are_on) mask_factors(masks, draw(tile, h, i, first + x), factors);
#pragma unroll
            for (int b = 0; b < R; b++) {
                float weight = has_seen ? expf(scores[a][b] - new_largest) : 0.0f;
                total += weight;
                scores[a][b] = masks.are_on ? weight * factors[b] : weight;
            }
            totals[a] = totals[a] * correction + sum_over_lanes(total, 16);
            largest[a] = new_largest;
#pragma unroll
            for (int c = 0; c < C; c++) sums[a][c] *= correction;
        }
        store(weights, scores);
        __syncthreads();
        load<R, C>(others, stride, v, tile, first);
        __syncthreads();
        add_weighted_rows(sums, weights, others, stride);
    }
#pragma unroll
    for (int a = 0; a < R; a++) {
        u32 i = tile.first + y + 16 * a;
#pragma unroll
        for (int c = 0; c < C; c++) sums[a][c] /= totals[a];
        if (x == 0 && i < tile.length) {
            size_t row = static_cast<size_t>(tile.start + i) * n_heads;
            log_sums[row + h] = largest[a] + logf(totals[a]);
        }
    }
    write(output, model_width, h * width, width, tile, sums, 1.0f);
}

// What both kernels of the backward pass read.
struct Backward {
    // (T, 3 D), (T, D).
    Values qkv, dy;
    // (T, H): the kept logarithms, and the sums over the features of dy y.
    const float *log_sums, *products;
    u32 n_heads, width;
    Terms terms;
    // Like the terms' matrices: the gradients of what queries, or keys, find there; or null.
    float *d_of_queries, *d_of_keys;
};

// A tile of queries -> its rows of dqkv's first third: dS = P (mask dA - dy y), dQ = dS K / sqrt(d)
// with dA = dy V^T.
template <int R, int C>
__device__ inline void backward_of_queries(const Backward &in, const Output &dqkv,
                                           const Tile &tile, const Masks &masks) {
    DYNAMIC_SHARED(attention_shared);
    const u32 stride = 16 * C + 1;
    float *queries = attention_shared, *gradients = queries + 16 * R * stride;
    float *keys = gradients + 16 * R * stride, *values = keys + 16 * R * stride;
    float *weights = values + 16 * R * stride;
    u32 x = threadIdx.x % 16, y = threadIdx.x / 16;
    u32 h = blockIdx.y, width = in.width, model_width = in.n_heads * width;
    Head q = {in.qkv, 3 * model_width, h * width, width};
    Head k = {in.qkv, 3 * model_width, model_width + h * width, width};
    Head v = {in.qkv, 3 * model_width, 2 * model_width + h * width, width};
    Head dy = {in.dy, model_width, h * width, width};

    float sums[R][C], log_sums[R], products[R];
    set_to_zero(sums);
    for (int a = 0; a < R; a++) {
        u32 i = tile.first + y + 16 * a;
        size_t at = static_cast<size_t>(tile.start + i) * in.n_heads + h;
        log_sums[a] = i < tile.length ? in.log_sums[at] : 0.0f;
        products[a] = i < tile.length ? in.products[at] : 0.0f;
    }
    u32 begin, end;
    range_seen(tile, 16 * R, &begin, &end);
    RowSums by_row = row_sums(in.d_of_queries, in.terms, tile, 16 * R, h);
    load<R, C>(queries, stride, q, tile, tile.first);
    load<R, C>(gradients, stride, dy, tile, tile.first);
    for (u32 first = begin; first < end; first += 16 * R) {
        __syncthreads();
        load<R, C>(keys, stride, k, tile, first);
        load<R, C>(values, stride, v, tile, first);
        __syncthreads();
        float scores[R][R], d_weights[R][R];
        multiply(scores, queries, keys, stride, width);
        multiply(d_weights, gradients, values, stride, width);
#pragma unroll
        for (int a = 0; a < R; a++) {
            u32 i = tile.first + y + 16 * a;
            float factors[R];
            if (masks.are_on) mask_factors(masks, draw(tile, h, i, first + x), factors);
#pragma unroll
            for (int b = 0; b < R; b++) {
                u32 j = first + x + 16 * b;
                float score = (scores[a][b] + in.terms.of_pair(tile, h, i, j)) * in.terms.scale;
                float p = sees(tile, i, j) ? expf(score - log_sums[a]) : 0.0f;
                float d = masks.are_on ? d_weights[a][b] * factors[b] : d_weights[a][b];
                scores[a][b] = p * (d - products[a]);
            }
        }
        store(weights, scores);
        __syncthreads();
        add_weighted_rows(sums, weights, keys, stride);
        if (by_row.sums != nullptr) {
            for (u32 j = first; j < min(first + 16 * R, tile.length); j++) {
                float gradient = weights[threadIdx.x * (16 * R + 1) + j - first];
                by_row.add(in.terms.row(tile.first + threadIdx.x, j), gradient * in.terms.scale);
            }
        }
    }
    if (by_row.sums != nullptr) by_row.put();
    write(dqkv, 3 * model_width, h * width, width, tile, sums, in.terms.scale);
}

// A tile of keys -> its rows of dqkv's other thirds: dK = dS^T Q / sqrt(d), dV = (mask P)^T dy.
template <int R, int C>
__device__ inline void backward_of_keys(const Backward &in, const Output &dqkv, const Tile &tile,
                                        const Masks &masks) {
    DYNAMIC_SHARED(attention_shared);
    const u32 stride = 16 * C + 1;
    float *keys = attention_shared, *values = keys + 16 * R * stride;
    float *queries = values + 16 * R * stride, *gradients = queries + 16 * R * stride;
    float *weights = gradients + 16 * R * stride;
    u32 x = threadIdx.x % 16, y = threadIdx.x / 16;
    u32 h = blockIdx.y, width = in.width, model_width = in.n_heads * width;
    Head q = {in.qkv, 3 * model_width, h * width, width};
    Head k = {in.qkv, 3 * model_width, model_width + h * width, width};
    Head v = {in.qkv, 3 * model_width, 2 * model_width + h * width, width};
    Head dy = {in.dy, model_width, h * width, width};

    float of_keys[R][C], of_values[R][C];
    set_to_zero(of_keys);
    set_to_zero(of_values);
    // Who sees whom is the same both ways.
    u32 begin, end;
    range_seen(tile, 16 * R, &begin, &end);
    RowSums by_row = row_sums(in.d_of_keys, in.terms, tile, 16 * R, h);
    load<R, C>(keys, stride, k, tile, tile.first);
    load<R, C>(values, stride, v, tile, tile.first);
    for (u32 first = begin; first < end; first += 16 * R) {
        __syncthreads();
        load<R, C>(queries, stride, q, tile, first);
        load<R, C>(gradients, stride, dy, tile, first);
        __syncthreads();
        float scores[R][R], d_weights[R][R];
        multiply(scores, keys, queries, stride, width);
        multiply(d_weights, values, gradients, stride, width);
#pragma unroll
        for (int b = 0; b < R; b++) {
            u32 i = first + x + 16 * b;
            size_t at = static_cast<size_t>(tile.start + i) * in.n_heads + h;
            float log_sum = i < tile.length ? in.log_sums[at] : 0.0f;
            float product = i < tile.length ? in.products[at] : 0.0f;
            float factors[R];
            if (masks.are_on) mask_factors(masks, draw(tile, h, i, tile.first + y), factors);
#pragma unroll
            for (int a = 0; a < R; a++) {
                u32 j = tile.first + y + 16 * a;
                float score = (scores[a][b] + in.terms.of_pair(tile, h, i, j)) * in.terms.scale;
                float p = sees(tile, i, j) ? expf(score - log_sum) : 0.0f;
                float factor = masks.are_on ? factors[a] : 1.0f;
                scores[a][b] = p * factor;
                d_weights[a][b] = p * (d_weights[a][b] * factor - product);
            }
        }
        store(weights, scores);
        __syncthreads();
        add_weighted_rows(of_values, weights, gradients, stride);
        __syncthreads();
        store(weights, d_weights);
        __syncthreads();
        add_weighted_rows(of_keys, weights, queries, stride);
        if (by_row.sums != nullptr) {
            for (u32 i = first; i < min(first + 16 * R, tile.length); i++) {
                float gradient = weights[threadIdx.x * (16 * R + 1) + i - first];
                by_row.add(in.terms.row(i, tile.first + threadIdx.x), gradient * in.terms.scale);
            }
        }
    }
    if (by_row.sums != nullptr) by_row.put();
    u32 column = model_width + h * width;
    write(dqkv, 3 * model_width, column, width, tile, of_keys, in.terms.scale);
    write(dqkv, 3 * model_width, column + model_width, width, tile, of_values, 1.0f);
}

// For heads of at most 16 C features. Grid: tiles, heads.
#define ATTENTION(R, C)                                                                           \
    extern "C" __global__ void __launch_bounds__(256) attention_forward_##C(                      \
        const void *qkv, u32 qkv_is_bf16, void *y, u32 y_is_bf16, float *log_sums,                \
        const Tile *tiles, u32 n_heads, u32 width, float *of_queries, float *of_keys,             \
        const u32 *rows, u32 n_tokens, u32 n_rows, u32 longest, float scale, Masks masks) {       \
        Terms terms = {of_queries, of_keys, rows, n_tokens, n_rows, longest, scale};              \
        forward<R, C>({qkv, qkv_is_bf16}, {y, y_is_bf16}, log_sums, tiles[blockIdx.x], n_heads,   \
                      width, terms, masks);                                                       \
    }                                                                                             \
    ATTENTION_BACKWARD(backward_of_queries, attention_backward_queries_##C, R, C)                 \
    ATTENTION_BACKWARD(backward_of_keys, attention_backward_keys_##C, R, C)

#define ATTENTION_BACKWARD(function, name, R, C)                                                  \
    extern "C" __global__ void __launch_bounds__(256) name(                                       \
        const void *qkv, u32 qkv_is_bf16, const void *dy, u32 dy_is_bf16, const float *log_sums,  \
        const float *products, void *dqkv, u32 dqkv_is_bf16, float *d_of_queries,                 \
        float *d_of_keys, const Tile *tiles, u32 n_heads, u32 width, float *of_queries,           \
        float *of_keys, const u32 *rows, u32 n_tokens, u32 n_rows, u32 longest, float scale,      \
        Masks masks) {                                                                            \
        Terms terms = {of_queries, of_keys, rows, n_tokens, n_rows, longest, scale};              \
        Backward in = {{qkv, qkv_is_bf16}, {dy, dy_is_bf16}, log_sums, products, n_heads, width,  \
                       terms, d_of_queries, d_of_keys};                                           \
        function<R, C>(in, {dqkv, dqkv_is_bf16}, tiles[blockIdx.x], masks);                       \
    }

// Wide heads have smaller tiles, which fit into the shared memory of every device from 80 on.
ATTENTION(4, 2)
ATTENTION(4, 4)
ATTENTION(2, 8)
ATTENTION(1, 16)

// dy, y (T, D) -> products (T, H), the sums over each head's features of dy y. A warp for each.
extern "C" __global__ void attention_products(const void *dy, u32 dy_is_bf16, const void *y,
                                              u32 y_is_bf16, float *products, u32 n, u32 width) {
    u32 lane = threadIdx.x % 32, i = thread_number() / 32;
    // Whole warps leave together.
    if (i >= n) return;
    Values gradients = {dy, dy_is_bf16}, values = {y, y_is_bf16};
    float sum = 0.0f;
    for (u32 feature = lane; feature < width; feature += 32) {
        size_t at = static_cast<size_t>(i) * width + feature;
        sum += gradients[at] * values[at];
    }
    sum = sum_over_lanes(sum, 32);
    if (lane == 0) products[i] = sum;
}
