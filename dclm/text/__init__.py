"""Kernels over the UTF-8 buffers of Arrow columns, and the features that filters share."""

from dclm.text import kernel_cache

kernel_cache.use()
