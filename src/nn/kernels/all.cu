// All kernels, as one module.
#include "attention.cu"
#include "cross_entropy.cu"
#include "elementwise.cu"
#include "embedding.cu"
#include "layer_norm.cu"
#include "optimizer.cu"
#include "rotary.cu"
#include "sums.cu"
