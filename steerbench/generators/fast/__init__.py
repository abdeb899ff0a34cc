"""Kernels that compute the same numbers sooner: convolution, resampling, precision."""
