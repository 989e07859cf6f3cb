"""Kernels that count: words, lines, symbols, repetitions."""
