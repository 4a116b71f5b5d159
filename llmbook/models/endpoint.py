"""Models behind a server that speaks as OpenAI's does: most that one can rent, or run at home.

A server far away fails in ways a model at hand does not: it is busy, slow, cut off, or answers
with half a sentence of JSON. Of a thousand prompts none may be lost by that. So each is asked
again, after a pause that doubles every time and that no two prompts share exactly, so that those
refused together don't come back together; if the server says how long to wait, that long at least.
What cannot get better, such as a wrong key, is an error at once; but a prompt that is refused,
while others are not, spoils none of them.
"""

import asyncio
import random
import re
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    DefaultAsyncHttpxClient,
    OpenAIError,
)

from llmbook.models._request import check_request, cut
from llmbook.models.protocol import Reply

__all__ = ["EndpointModel"]

_REFUSED = {400, 413, 422}  # perhaps one prompt's fault, perhaps that of the whole request
_PASSING = {408, 409, 425, 429}  # with all from 500 up: may be better the next time
# Refusals of one prompt, which say nothing about the others.
_OF_THE_PROMPT = re.compile(
    r"context.{0,3}(length|size|window)|prompt is too long|input token count|`inputs` tokens"
    r"|content_filter",
    re.IGNORECASE,
)
_NAMED = {401: "api_key", 403: "api_key", 404: "model or base_url", 429: "api_key"}
_SPENT = "insufficient_quota"  # comes as 429, but no pause fills an account
_LONGEST_PAUSE = 30.0  # seconds; pauses don't double beyond it


class _RefusedError(Exception):
    """The server refuses a request for what it holds."""


class EndpointModel:
    """A model behind a server that speaks OpenAI's protocol, asked through the client ``openai``.

    Each prompt is a request, at most ``concurrency`` of them under way at a time; a prompt that
    waits to be asked again keeps its place, so a busy server has less to do. A prompt that still
    has no answer after ``max_retries`` more attempts gets a reply with the finish reason
    ``"error"``; so does one that the server refuses for what it holds. If all of a call are
    refused, it is an error of the request, unless the server calls them too long, or withholds
    the answer to them.

    Servers don't tell whether a text ended by itself or at a stop string: where stop strings were
    given, it counts as ``"stop"``. In a chat, those of blank space are not sent but applied here,
    after the thought with which some models begin; the thought stays in the text.
    Temperature and seed are passed on; what a server makes of them is its own affair:
    ``transformers serve``, for one, draws only if the model's own settings say so. Counts of tokens
    are 0, and log-probabilities None, where the server gives none.

    Args:
        model: What the server calls the model.
        base_url: Where the server is, such as ``"http://127.0.0.1:8000/v1"``. On this machine
            itself, proxies are passed by.
        api_key: The key, if the server wants one; if not given, the environment's
            ``OPENAI_API_KEY``.
        chat: Put each prompt as what a user says in a conversation; otherwise as a text to go on
            with, which not all servers offer.
        concurrency: Most requests at a time.
        timeout: Seconds for an answer, from the request to its last byte.
        max_retries: How often to ask again.
        backoff: Seconds of the first pause, less up to half of it by chance.
        longest_wait: Most seconds to wait if the server says how long; asked for more, give up.
        options: Further fields of each request. ``None`` leaves a field out: some models want
            ``{"max_tokens": None, "max_completion_tokens": 500}``.
        name: What the model is called in transcripts; ``model`` if not given.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        api_key: str | None = None,
        chat: bool = True,
        concurrency: int = 16,
        timeout: float = 120.0,
        max_retries: int = 6,
        backoff: float = 0.5,
        longest_wait: float = 300.0,
        options: Mapping[str, object] | None = None,
        name: str | None = None,
    ) -> None:
        if urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).hostname:
            raise ValueError(f"base_url must be an address such as http://HOST/v1, got {base_url}")
        for argument, number, least in (
            ("concurrency", concurrency, 1),
            ("max_retries", max_retries, 0),
            ("backoff", backoff, 0),
            ("longest_wait", longest_wait, 0),
        ):
            if not number >= least:
                raise ValueError(f"{argument} must be at least {least}, got {number}")
        if not timeout > 0:
            raise ValueError(f"timeout must be positive, got {timeout}")
        self.model, self.base_url, self.chat = model, base_url, chat
        self.name = name or model
        self.concurrency, self.timeout, self.max_retries = concurrency, timeout, max_retries
        self.backoff, self.longest_wait = backoff, longest_wait
        self.options = dict(options or {})
        self._api_key = api_key
        self._chance = random.Random()  # of pauses alone: nothing that is written depends on it
        self._absent = False  # nothing listens there, as a prompt has found out to the end

    def complete(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int | Sequence[int] = 0,
        logprobs: bool = False,
        on_reply: Callable[[int, Reply], object] = lambda number, reply: None,
    ) -> list[Reply]:
        """Go on with every prompt: see [`LanguageModel`][llmbook.models.protocol.LanguageModel].

        Beside what is told there, ``on_reply`` is called with the number of a prompt, from 0, and
        its reply, as soon as that is there.

        Raises:
            ValueError: If an argument is out of range, or the server refuses what cannot get
                better: key, model, address, or a field of the request.
        """
        seeds = check_request(prompts, max_new_tokens, temperature, stop, seed)
        # A chat ends its turn by itself, and a blank line may stand in the middle of a thought.
        sent = [each for each in stop if each.strip() or not self.chat]
        requests = []
        for prompt, each in zip(prompts, seeds, strict=True):
            request: dict[str, object] = {
                "model": self.model,
                "max_tokens": max_new_tokens,
                "temperature": temperature,
            }
            if self.chat:
                request["messages"] = [{"role": "user", "content": prompt}]
            else:
                request["prompt"] = prompt
            if sent:
                request["stop"] = sent
            if temperature > 0:
                request["seed"] = each
            if logprobs:
                request["logprobs"] = True if self.chat else 1
            request |= self.options
            requests.append({key: value for key, value in request.items() if value is not None})
        return _run(self._ask_all(requests, stop, on_reply))

    def complete_each(
        self, prompts: Sequence[str], on_reply: Callable[[int, Reply], object], **options: Any
    ) -> list[Reply]:
        """`complete` with ``on_reply``: by this name a model is known to tell each reply."""
        return self.complete(prompts, on_reply=on_reply, **options)

    async def _ask_all(
        self,
        requests: Sequence[Mapping[str, object]],
        stop: Sequence[str],
        on_reply: Callable[[int, Reply], object],
    ) -> list[Reply]:
        self._absent = False
        places = asyncio.Semaphore(self.concurrency)
        refused: list[str] = []

        async def ask(client: AsyncOpenAI, number: int, request: Mapping[str, object]) -> Reply:
            async with places:
                try:
                    reply = await self._ask(client, request, stop)
                except _RefusedError as error:
                    refused.append(str(error))
                    reply = _no_reply(str(error))
            on_reply(number, reply)
            return reply

        async with self._client() as client:
            try:
                async with asyncio.TaskGroup() as group:  # one refused for good ends them all
                    tasks = [
                        group.create_task(ask(client, number, request))
                        for number, request in enumerate(requests)
                    ]
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None
        unclear = [problem for problem in refused if not _OF_THE_PROMPT.search(problem)]
        if unclear and len(refused) == len(requests):  # then it is not one prompt's fault
            raise ValueError(self._refusal("request", unclear[0]))
        return [task.result() for task in tasks]

    def _client(self) -> AsyncOpenAI:
        # Without a key, the client takes the environment's, and refuses to start without one.
        from os import environ

        return AsyncOpenAI(
            base_url=self.base_url,
            api_key=self._api_key or environ.get("OPENAI_API_KEY") or "none",
            timeout=self.timeout,
            max_retries=0,  # its retries know neither half a JSON nor a missing choice
            http_client=DefaultAsyncHttpxClient(trust_env=not _on_this_machine(self.base_url)),
        )

    async def _ask(
        self, client: AsyncOpenAI, request: Mapping[str, object], stop: Sequence[str]
    ) -> Reply:
        """Ask until there is an answer, or no hope of one."""
        attempt, pause = 0, self.backoff
        while True:
            attempt += 1
            wait = 0.0
            absent = False
            try:
                async with asyncio.timeout(self.timeout):
                    path = "/chat/completions" if self.chat else "/completions"
                    answer = await client.post(path, body=dict(request), cast_to=object)
                self._absent = False
                return self._read(answer, stop)
            except (TimeoutError, APITimeoutError):
                problem = f"no answer within {self.timeout:g} seconds"
            except APIStatusError as error:
                problem = f"{error.status_code}: {error.message}"
                passing = error.status_code in _PASSING and _SPENT not in problem
                if error.status_code < 500 and not passing:
                    if error.status_code in _REFUSED or _OF_THE_PROMPT.search(problem):
                        raise _RefusedError(problem) from None
                    named = _NAMED.get(error.status_code, "request")
                    raise ValueError(self._refusal(named, problem)) from None
                wait = _seconds_to_wait(error.response.headers)
            except APIConnectionError as error:
                problem = f"{error} ({error.__cause__!r})"
                absent = type(error.__cause__).__name__ == "ConnectError"
            except (OpenAIError, ValueError) as error:  # half a JSON, or not what it should hold
                problem = f"malformed answer: {error}"
            if wait > self.longest_wait:
                return _no_reply(f"{problem}; the server asks to wait {wait:.0f} seconds")
            if attempt > self.max_retries or (absent and self._absent):
                self._absent = absent
                return _no_reply(f"{problem}; attempts: {attempt}")
            await asyncio.sleep(wait + pause * self._chance.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _refusal(self, named: str, problem: str) -> str:
        return (
            f"{named} must be one that the server accepts, got {problem} "
            f"(model {self.model!r} at {self.base_url})"
        )

    def _read(self, answer: Any, stop: Sequence[str]) -> Reply:
        """The reply in an answer; a ValueError says what is wrong with it."""
        try:
            [choice] = answer["choices"]
            text = choice["message"]["content"] if self.chat else choice["text"]
            reason = choice.get("finish_reason")
            usage = answer.get("usage") or {}
            details = usage.get("prompt_tokens_details") or {}
            given = choice.get("logprobs") or {}
            logprobs: Sequence[float]
            if self.chat:
                logprobs = [token["logprob"] for token in given.get("content") or ()]
            else:
                logprobs = given.get("token_logprobs") or ()
            read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
            reused = details.get("cached_tokens")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"one choice with a text expected ({error!r})") from None
        if not isinstance(text, str | None):
            raise ValueError(f"a text expected, got {text!r}")
        if reason == "content_filter":
            return _no_reply("content_filter: the server withholds the answer")
        text, stopped = cut(text or "", stop, chat=self.chat)  # not all servers know stop strings
        if stopped or (stop and reason == "stop"):
            reason = "stop"
        elif reason != "length":
            reason = "end"
        return Reply(text, reason, read or 0, written or 0, reused or 0, tuple(logprobs) or None)


def _no_reply(error: str) -> Reply:
    return Reply("", "error", prompt_tokens=0, completion_tokens=0, error=error)


def _seconds_to_wait(headers: Mapping[str, str]) -> float:
    """How long a server asks to wait, in seconds or until a date; 0 if it does not."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except (ValueError, OverflowError):
            return 0.0


def _on_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        address = ip_address(host)
        return address.is_loopback or address.is_unspecified  # 0.0.0.0, as some servers print it
    except ValueError:
        return host == "localhost"


def _run(replies: Coroutine[Any, Any, list[Reply]]) -> list[Reply]:
    """Run to the end, from a program or from a notebook, where a loop is running already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(replies)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, replies).result()
