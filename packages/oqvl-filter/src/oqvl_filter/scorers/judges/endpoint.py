"""A judge behind an OpenAI-compatible endpoint (vLLM, SGLang and the like).

A request holds the image first and then the prompt, so a server with a prefix cache processes the image once for all
prompts. There are three kinds of failures:

- temporary ones (no connection, 408, 425, 429, 5xx) are retried after a pause that doubles each time; a pause that the
  server asks for is respected;
- those of one request (400, 413, 422, a filtered answer) become that sample's refusal;
- all others mean a wrong configuration and stop the run, which can be resumed.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any

from PIL import Image

from oqvl_filter.scorers.judges.judge import Answer, JudgeReason
from oqvl_shards.errors import ConfigError, HardwareError

_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
_OF_THE_REQUEST = frozenset({400, 413, 422})
_MAX_PAUSE = 60.0
"""Longest pause of our own, in seconds."""
_MAX_WANTED_PAUSE = 3600.0
"""Longest pause that a server may ask for, in seconds."""
_TOP_LOGPROBS = 20
"""The most that the interface allows."""


class EndpointJudge:
    """Answers through `POST {url}/chat/completions`; a `VisionJudge`.

    Args:
        url: Base of the interface, e.g. `http://localhost:8000/v1`.
        model: The model's name at the endpoint.
        revision: Tells this model from others of the same name. It goes into the fingerprint, because an endpoint
            does not say which weights it runs.
        key_variable: Environment variable that holds the key; empty if none is needed.
        concurrency: Number of requests in flight.
        attempts: Maximum number of times that a request is made.
        first_pause: Seconds before the second attempt; doubled before each further one.
        timeout: Maximum time for an answer, in seconds.
        max_side: Images are shrunk to this many pixels on the long side before they are sent.
        sleep: Waits for some seconds.
        now: Returns the time in seconds since 1970.

    Raises:
        ConfigError: If a setting is invalid, or the variable is not set.
    """

    def __init__(
        self,
        url: str,
        model: str,
        revision: str = "",
        key_variable: str = "",
        concurrency: int = 8,
        attempts: int = 6,
        first_pause: float = 1.0,
        timeout: float = 120.0,
        max_side: int = 1024,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"scorer.options.url={url!r}, expected http:// or https://")
        if min(concurrency, attempts, max_side) < 1:
            raise ConfigError("scorer.options: concurrency, attempts and max_side must be at least 1")
        if key_variable and not os.environ.get(key_variable):
            raise ConfigError(f"the environment variable {key_variable} is not set", hint="it must hold the key")
        self._url = f"{url.rstrip('/')}/chat/completions"
        self._model = model
        self._revision = revision
        self._key = os.environ.get(key_variable, "") if key_variable else ""
        self._concurrency = concurrency
        self._attempts = attempts
        self._first_pause = first_pause
        self._timeout = timeout
        self._max_side = max_side
        self._sleep = sleep
        self._now = now

    def fingerprint(self) -> str:
        """Return a sha256 of the model's name, its revision, and the size of the images."""
        settings = ["endpoint", self._model, self._revision, self._max_side]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    def answer(
        self, images: Sequence[Image.Image], prompts: Sequence[Sequence[str]], max_new_tokens: int
    ) -> list[list[Answer]]:
        """Return one answer [B][P] per prompt; see `VisionJudge`."""
        with ThreadPoolExecutor(self._concurrency) as pool:
            encoded = list(pool.map(self._encode, images))
            waiting = [
                [pool.submit(self._ask, source, prompt, max_new_tokens) for prompt in row]
                for source, row in zip(encoded, prompts, strict=True)
            ]
            try:
                return [[answer.result() for answer in row] for row in waiting]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _encode(self, image: Image.Image) -> str:
        small = image.copy()
        small.thumbnail((self._max_side, self._max_side), Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        small.save(buffer, "PNG", compress_level=1)
        return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"

    def _ask(self, source: str, prompt: str, max_new_tokens: int) -> Answer:
        content = [{"type": "image_url", "image_url": {"url": source}}, {"type": "text", "text": prompt}]
        body = {
            "logprobs": True,
            "max_tokens": max_new_tokens,
            "messages": [{"role": "user", "content": content}],
            "model": self._model,
            "temperature": 0,
            "top_logprobs": _TOP_LOGPROBS,
        }
        reply = self._post(json.dumps(body).encode())
        return Answer("", refusal=JudgeReason.REFUSED) if reply is None else _read_reply(reply)

    def _post(self, body: bytes) -> dict[str, Any] | None:
        """Return the endpoint's reply; None if it refuses the content of the request.

        Raises:
            ConfigError: If the endpoint answers with a status that no retry will change.
            HardwareError: If every attempt failed.
        """
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        problem, content = "", b""
        for attempt in range(self._attempts):
            wanted_pause = 0.0
            try:
                request = urllib.request.Request(self._url, body, headers)
                with urllib.request.urlopen(request, timeout=self._timeout) as response:
                    content = response.read()
                return json.loads(content)
            except urllib.error.HTTPError as error:
                problem = f"status {error.code}: {error.read(300).decode('utf-8', 'replace')}"
                if error.code in _OF_THE_REQUEST:
                    return None
                if error.code not in _TEMPORARY:
                    raise ConfigError(f"{self._url} answers with {problem}", hint="check url, model and key") from error
                wanted_pause = min(_seconds(error.headers.get("Retry-After"), self._now()), _MAX_WANTED_PAUSE)
            except (OSError, HTTPException) as error:
                problem = f"{type(error).__name__}: {error}"
            except ValueError:
                problem = f"found {content[:80]!r}, expected JSON"
            if attempt + 1 < self._attempts:
                self._sleep(max(min(self._first_pause * 2**attempt, _MAX_PAUSE), wanted_pause))
        raise HardwareError(
            f"{self._url} gave no answer in {self._attempts} attempts; the last one: {problem}",
            hint="start the endpoint and run the same command again: finished shards are kept",
        )


def _seconds(header: str | None, now: float) -> float:
    """Return the pause that `Retry-After` asks for: seconds, or a date (RFC 9110, 10.2.3); 0 if it is neither."""
    if not header:
        return 0.0
    try:
        return max(float(header), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(header).timestamp() - now, 0.0)
    except (OverflowError, ValueError):
        return 0.0


def _read_reply(reply: dict[str, Any]) -> Answer:
    """Return the answer in a reply of the chat completions interface.

    Raises:
        ConfigError: If the reply has another form.
    """
    try:
        choice = reply["choices"][0]
        if choice.get("finish_reason") == "content_filter":
            return Answer("", refusal=JudgeReason.REFUSED)
        text = _text(choice["message"]["content"])
        tokens = (choice.get("logprobs") or {}).get("content") or []
        likely = tokens[0]["top_logprobs"] if tokens else []
        first: dict[str, float] = {}
        for token in likely:
            text_of_token = token["token"].strip()
            first[text_of_token] = first.get(text_of_token, 0.0) + math.exp(token["logprob"])
        return Answer(text, choice.get("finish_reason") == "stop", first)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError) as error:
        raise ConfigError(
            f"the endpoint's reply is not of the expected form: {type(error).__name__}: {error}",
            hint="the endpoint must offer the chat completions interface",
        ) from error


def _text(content: str | list[dict[str, Any]] | None) -> str:
    """Return a message's text; some servers send it in parts.

    Raises:
        TypeError: If it is neither text nor parts.
    """
    text = "".join(part.get("text") or "" for part in content) if isinstance(content, list) else content or ""
    if not isinstance(text, str):
        raise TypeError(f"found a message of type {type(text).__name__}, expected text")
    # Half of a character outside the basic plane, where an answer was cut off, cannot be stored as UTF-8.
    return text.encode("utf-8", "replace").decode()
