// The norm of all gradients and the step of AdamW, over pieces of the flat storages.
#include "common.cuh"

// Some values in a row that belong to one parameter.
struct Piece {
    u32 start, length, decays;
    // Of the learning rate.
    float share;
};

// The sums of the squares of the pieces' gradients. A block of 256 threads for each piece.
extern "C" __global__ void square_sums(const float *gradients, const Piece *pieces, double *sums) {
    __shared__ double shared[256];
    Piece piece = pieces[blockIdx.x];
    double sum = 0.0;
    for (u32 i = threadIdx.x; i < piece.length; i += 256) {
        double g = gradients[static_cast<size_t>(piece.start) + i];
        sum += g * g;
    }
    shared[threadIdx.x] = sum;
    __syncthreads();
    for (u32 n = 128; n > 0; n /= 2) {
        if (threadIdx.x < n) shared[threadIdx.x] += shared[threadIdx.x + n];
        __syncthreads();
    }
    if (threadIdx.x == 0) sums[blockIdx.x] = shared[0];
}

// The square root of the sum of the sums. One block of 256 threads.
extern "C" __global__ void norm_of_sums(const double *sums, u32 n, double *norm) {
    __shared__ double shared[256];
    double sum = 0.0;
    for (u32 i = threadIdx.x; i < n; i += 256) sum += sums[i];
    shared[threadIdx.x] = sum;
    __syncthreads();
    for (u32 m = 128; m > 0; m /= 2) {
        if (threadIdx.x < m) shared[threadIdx.x] += shared[threadIdx.x + m];
        __syncthreads();
    }
    if (threadIdx.x == 0) *norm = sqrt(shared[0]);
}

// One step of AdamW, as src/train/adamw.rs has it. `state` holds the values, the first and the
// second moments, N each. Nothing is changed where the norm is not finite.
extern "C" __global__ void adamw(float *state, const float *gradients, u64 n_values,
                                 const Piece *pieces, const double *norm, double max_grad_norm,
                                 double learning_rate, double weight_decay,
                                 double first_correction, float second_correction, float beta1,
                                 float beta2, float epsilon) {
    if (!isfinite(*norm)) return;
    Piece piece = pieces[blockIdx.x];
    float clip = 1.0f;
    if (max_grad_norm > 0.0) clip = static_cast<float>(fmin(max_grad_norm / (*norm + 1e-6), 1.0));
    double rate = learning_rate * piece.share;
    float step_size = static_cast<float>(rate / first_correction);
    float shrink = piece.decays ? static_cast<float>(1.0 - rate * weight_decay) : 1.0f;
    for (u32 i = threadIdx.x; i < piece.length; i += blockDim.x) {
        size_t at = static_cast<size_t>(piece.start) + i;
        float *value = state + at, *first = value + n_values, *second = first + n_values;
        float g = gradients[at] * clip;
        float m = *first + (1.0f - beta1) * (g - *first);
        float v = beta2 * *second + (1.0f - beta2) * g * g;
        *first = m;
        *second = v;
        float denominator = sqrtf(v) / second_correction + epsilon;
        *value = *value * shrink - step_size * m / denominator;
    }
}
