"""Client of a server with OpenAI's chat completions API, such as vLLM, SGLang, llama.cpp or a hosted one."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping

from dclm.core.errors import ConfigError, DataError

_TRIES = 5
_MAX_BYTES = 1 << 20
_BUSY = (408, 409, 425, 429, 500, 502, 503, 504)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: the key is sent only to the address that the user configured."""

    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


class Endpoint:
    """One server. The key is read from the environment, sent only to this address, and never stored."""

    def __init__(self, url: str, key_variable: str | None, timeout: float = 300.0, pause: float = 1.0) -> None:
        """pause: seconds before a request to a busy server is repeated; doubled each time.

        Raises: ConfigError if the address is not an http(s) URL, or the variable is not set.
        """
        if not url.startswith(("http://", "https://")):
            raise ConfigError("endpoint", f"found {url}, allowed: an http:// or https:// address that ends in /v1")
        self._url = url.rstrip("/") + "/chat/completions"
        self._timeout, self._pause = timeout, pause
        self._key = None
        if key_variable is not None:
            self._key = os.environ.get(key_variable)
            if not self._key:
                raise ConfigError("key_variable", f"the environment variable {key_variable} is not set")
        self._opener = urllib.request.build_opener(_NoRedirects)

    def complete(self, request: Mapping[str, object]) -> str:
        """The answer to a request in OpenAI's format. Requests to a busy server are repeated. Raises: DataError if the
        server refuses, cannot be reached, or returns no answer.
        """
        headers = {"Content-Type": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        body = json.dumps(request).encode()
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(self._pause * 2 ** (attempt - 1))
            try:
                call = urllib.request.Request(self._url, body, headers)
                with self._opener.open(call, timeout=self._timeout) as response:
                    return self._answer(response.read(_MAX_BYTES + 1))
            except urllib.error.HTTPError as error:
                problem = f"the server answered {error.code} {error.reason}"
                error.close()
                if error.code not in _BUSY:
                    raise DataError(self._url, problem, "check the address, the model's name and the key") from None
            except (OSError, http.client.HTTPException) as error:
                problem = f"cannot be reached: {error}"
        raise DataError(
            self._url, f"{problem}, {_TRIES} times", "start the server and run again: existing answers are reused"
        )

    def _answer(self, content: bytes) -> str:
        if len(content) > _MAX_BYTES:
            raise DataError(self._url, f"an answer of more than {_MAX_BYTES:,} bytes", "lower `answer_tokens`")
        try:
            answer = json.loads(content)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError):
            raise DataError(self._url, "the server's answer has no choices[0].message.content") from None
        return answer if isinstance(answer, str) else ""
