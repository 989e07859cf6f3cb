"""Sentence encoders in ONNX format, which onnxruntime runs on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from dclm.core.errors import AssetError, ConfigError
from dclm.select.semantic.vectors import Vectors

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""The inputs that a model may have."""
_FAULTS = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")
"""Exceptions of onnxruntime for a file that is damaged or that it cannot run."""


class OnnxEncoder:
    """An ONNX model with its tokenizer, in one thread.

    Its first output is the vector of the text [B, d], or one vector per token [B, T, d], of which the mean or the first
    is taken.
    Texts are read one at a time: a quantized model scales its activations by all rows of a batch, so that a text's
    vector would depend on the others.
    """

    def __init__(self, model: Path, tokenizer: Path, max_tokens: int, *, first_token: bool) -> None:
        """Raises: ConfigError if onnxruntime is not installed; AssetError if it cannot read the model."""
        try:
            import onnxruntime
            from onnxruntime.capi import onnxruntime_pybind11_state as faults
        except ImportError:
            what = "the package onnxruntime is not installed"
            raise ConfigError("embed", what, 'pip install "dclm[onnx]"') from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors are raised as well
        try:
            self._session: Any = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except tuple(getattr(faults, name) for name in _FAULTS) as error:
            first = str(error).splitlines()[0]
            raise AssetError(str(model), f"onnxruntime cannot read it: {first}", "copy the file again") from None
        self._inputs = [found.name for found in self._session.get_inputs()]
        unknown = sorted(set(self._inputs) - set(INPUTS))
        if unknown or INPUTS[0] not in self._inputs:
            what = f"its inputs are {', '.join(self._inputs)}; allowed: {', '.join(INPUTS)}"
            raise AssetError(str(model), what, "export the encoder without generation or images")
        output = self._session.get_outputs()[0]
        self._output: str = output.name
        self._first_token = first_token
        self._per_token = len(output.shape) == 3
        if len(output.shape) not in (2, 3) or not isinstance(output.shape[-1], int):
            what = (
                f"its first output {self._output} has the shape {output.shape}; allowed: [texts, d], [texts, tokens, d]"
            )
            raise AssetError(str(model), what, "export the encoder with its last hidden states as the first output")
        self._size: int = output.shape[-1]
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)

    def encode(self, texts: Sequence[str]) -> tuple[Vectors, npt.NDArray[np.bool_]]:
        """[N, d], not normalized; and which texts have a token."""
        vectors = np.zeros((len(texts), self._size), np.float32)
        for row, found in enumerate(self._tokenizer.encode_batch_fast(list(texts))):
            if not found.ids:
                continue
            ids = np.array([found.ids], np.int64)
            given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            (output,) = self._session.run([self._output], {name: given[name] for name in self._inputs})
            if self._per_token:
                vectors[row] = output[0, 0] if self._first_token else output[0].mean(0)
            else:
                vectors[row] = output[0]
        return vectors, np.array([not text.isspace() and text != "" for text in texts], np.bool_)
