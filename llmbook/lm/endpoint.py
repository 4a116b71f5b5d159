"""Models behind a server that speaks as OpenAI's does: most that one can rent, or run at home.

A server far away fails in ways a model at hand does not: it is busy, slow, cut off, or answers
with half a sentence of JSON. Of a thousand prompts none may be lost by that. So each is asked
again, with the patience of `llmbook.lm.retries`. What cannot get better, such as a wrong key, is
an error at once, and so is, after a few seconds, an address where nobody has answered so far; but
a prompt that is refused, while others are not, spoils none of them. Whoever waits is told on what,
by a warning of the standard library's ``logging``.
"""

import asyncio
import os
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
    Timeout,
)

from llmbook.lm.answers import (
    ErrorAnswerError,
    no_reply,
    read_reply,
    said_by,
    seconds_to_wait,
    well_formed,
)
from llmbook.lm.protocol import Reply
from llmbook.lm.requests import check_request
from llmbook.lm.retries import PassingError, Patience

__all__ = ["EndpointModel"]

_REFUSED = {400, 413, 422}  # perhaps one prompt's fault, perhaps that of the whole request
_PASSING = {408, 409, 425, 429}  # with all from 500 up: may be better the next time
# Refusals of one prompt, which say nothing about the others.
_OF_THE_PROMPT = re.compile(
    r"context.{0,3}(length|size|window)|prompt is too long|input token count|`inputs` tokens"
    r"|content_filter",
    re.IGNORECASE,
)
# Errors that are sent as a success and name no status say only in words whether they may pass.
_MAY_PASS = re.compile(
    r"overload|busy|loading|starting|temporar|try again|time.?out|rate.?limit|unavailable"
    r"|internal|server.error",
    re.IGNORECASE,
)
_NAMED = {
    200: "api_key, model or base_url",
    401: "api_key",
    403: "api_key",
    404: "model or base_url",
    429: "api_key",
}
_FIELDS = re.compile(r"max_tokens|temperature|stop|seed|logprobs")  # what `options` can leave out
_SPENT = re.compile("insufficient_quota")  # comes as 429, but no pause fills an account
_CONNECT = 10.0  # seconds to wait for a connection, after which nobody is there
_PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")


class _RefusedError(Exception):
    """The server refuses a request for what it holds."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status = status


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
    after the thought with which some models begin.
    What a server has parted from the text as the thought is the thought of the reply.
    Temperature and seed are passed on; what a server makes of them is its own affair:
    ``transformers serve``, for one, draws only if the model's own settings say so. Counts of tokens
    are 0, and log-probabilities None, where the server gives none.

    Args:
        model: What the server calls the model.
        base_url: Where the server is, such as ``"http://127.0.0.1:8000/v1"``. On this machine
            itself, proxies are passed by.
        api_key: The key, if the server wants one; if not given, the environment's
            ``OPENAI_API_KEY``. It is kept out of all messages and transcripts.
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
        ValueError: If an argument is out of range, or the key cannot be sent.
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
        address, password = _without_password(base_url)
        if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).hostname:
            raise ValueError(f"base_url must be an address such as http://HOST/v1, got {address}")
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
        self.model, self.base_url, self.chat = model, address, chat
        self._address = base_url
        self.name = name or model
        self.concurrency, self.timeout = concurrency, timeout
        self.options = dict(options or {})
        self._api_key = _key(api_key)
        # What no message may hold. Shorter ones are no secrets, but words such as "none".
        self._secrets = [secret for secret in (self._api_key, password) if len(secret) >= 8]
        self._patience = Patience(address, max_retries, backoff, longest_wait)

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
        """Go on with every prompt: see [`LanguageModel`][llmbook.lm.protocol.LanguageModel].

        Beside what is told there, ``on_reply`` is called with the number of a prompt, from 0, and
        its reply, as soon as that is there.

        Raises:
            ValueError: If an argument is out of range, or the server refuses what cannot get
                better: key, model, address, or a field of the request; or if there is none at
                the address.
        """
        seeds = check_request(prompts, max_new_tokens, temperature, stop, seed)
        # A chat ends its turn by itself, and a blank line may stand in the middle of a thought.
        sent = [prompt_seed for prompt_seed in stop if prompt_seed.strip() or not self.chat]
        requests = []
        for prompt, prompt_seed in zip(prompts, seeds, strict=True):
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
                request["seed"] = prompt_seed
            if logprobs:
                request["logprobs"] = True if self.chat else 1
            request |= self.options
            requests.append({key: value for key, value in request.items() if value is not None})
        return _run_to_end(self._ask_all(requests, stop, on_reply))

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
        """Ask for all replies, some at a time, and judge what was refused by what was not."""
        self._patience.begin()
        places = asyncio.Semaphore(self.concurrency)
        refused: list[_RefusedError] = []

        async def ask(client: AsyncOpenAI, number: int, request: Mapping[str, object]) -> Reply:
            async with places:
                try:
                    reply = await self._patience.ask(partial(self._attempt, client, request, stop))
                except _RefusedError as error:
                    refused.append(error)
                    reply = no_reply(str(error))
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
        unclear = [error for error in refused if not _OF_THE_PROMPT.search(str(error))]
        if unclear and len(refused) == len(requests):  # then it is not one prompt's fault
            raise ValueError(self._refusal(unclear[0].status, str(unclear[0])))
        return [task.result() for task in tasks]

    def _client(self) -> AsyncOpenAI:
        """The client, which asks once and takes no proxy to this machine itself."""
        trust_env = not _on_this_machine(self.base_url)
        try:
            http_client = DefaultAsyncHttpxClient(trust_env=trust_env)
        except (ImportError, ValueError):  # it speaks of no variable, but may print a password
            names = [name for name in os.environ if name.upper() in _PROXIES]
            raise ValueError(
                f"{' or '.join(names) or 'the proxy'} must be a proxy that can be used: one of "
                'socks5://… needs pip install "httpx2[socks]"; otherwise unset the variable, or '
                f"set NO_PROXY={urlsplit(self.base_url).hostname}"
            ) from None
        return AsyncOpenAI(
            base_url=self._address,
            # Without a key, the client takes the environment's, and refuses to start without one.
            api_key=self._api_key or "none",
            timeout=Timeout(self.timeout, connect=min(self.timeout, _CONNECT)),
            max_retries=0,  # its retries know neither half a JSON nor a missing choice
            http_client=http_client,
        )

    async def _attempt(
        self, client: AsyncOpenAI, request: Mapping[str, object], stop: Sequence[str]
    ) -> Reply:
        """Ask once.

        Raises:
            PassingError: If it may be better the next time.
            _RefusedError: If the server refuses what the request holds.
            ValueError: If it would refuse any request.
        """
        try:
            async with asyncio.timeout(self.timeout):
                path = "/chat/completions" if self.chat else "/completions"
                answer = await client.post(path, body=dict(request), cast_to=object)
            self._patience.hear()
            return read_reply(answer, stop, chat=self.chat)
        except APIStatusError as error:
            self._patience.hear()
            problem = self._problem(f"{error.status_code}: {said_by(error.body)}")
            self._check_hope(error.status_code, problem)
            raise PassingError(problem, wait=seconds_to_wait(error.response.headers)) from None
        except ErrorAnswerError as error:
            problem = self._problem(f"{error.status}: {error}")
            self._check_hope(error.status, problem)
            raise PassingError(problem) from None
        except (TimeoutError, APIConnectionError) as error:
            cause = error.__cause__ or error
            if type(cause).__name__ in ("ConnectError", "ConnectTimeout"):
                problem = self._problem(f"no connection: {str(cause) or 'no sign of life'}")
                raise PassingError(problem, absent=True) from None
            if isinstance(error, TimeoutError | APITimeoutError):
                raise PassingError(f"no answer within {self.timeout:g} seconds") from None
            raise PassingError(self._problem(f"{error} ({cause!r})")) from None
        except (OpenAIError, ValueError) as error:  # half a JSON, or not what it should hold
            raise PassingError(self._problem(f"malformed answer: {error}")) from None

    def _check_hope(self, status: int, problem: str) -> None:
        """Let go on what may be better the next time.

        Raises:
            _RefusedError: If the server refuses what the request holds.
            ValueError: If it would refuse any request.
        """
        may_pass = status in _PASSING or status >= 500
        if status == 200:
            may_pass = _MAY_PASS.search(problem) is not None
        if may_pass and not _SPENT.search(problem):
            return
        if status in _REFUSED or status == 200 or _OF_THE_PROMPT.search(problem):
            raise _RefusedError(status, problem)
        raise ValueError(self._refusal(status, problem))

    def _refusal(self, status: int, problem: str) -> str:
        """The message of an error that would meet any request, with what might help."""
        hint = ""
        if status in _REFUSED and (field := _FIELDS.search(problem)):
            hint = f"; a field is left out by options={{{field[0]!r}: None}}"
        return (
            f"{_NAMED.get(status, 'request')} must be one that the server accepts, got {problem} "
            f"(model {self.model!r} at {self.base_url}){hint}"
        )

    def _problem(self, text: str) -> str:
        """What went wrong, as it may be shown: some servers repeat the key that they refuse."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return well_formed(text)


def _key(api_key: str | None) -> str:
    """The key as it is sent, without the line break that a file or a terminal has left at its end.

    Raises:
        ValueError: If a request cannot hold it; the error does not show it.
    """
    key = (os.environ.get("OPENAI_API_KEY", "") if api_key is None else api_key).strip()
    if not (key.isascii() and key.isprintable()):
        name = "OPENAI_API_KEY" if api_key is None else "api_key"
        raise ValueError(
            f"{name} must be of ASCII letters, digits and signs, got one with another character, "
            "which is not shown here"
        )
    return key


def _without_password(url: str) -> tuple[str, str]:
    """An address as it may be shown, without user and password, and that password."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host).geturl(), parts.password or ""


def _on_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        address = ip_address(host)
        return address.is_loopback or address.is_unspecified  # 0.0.0.0, as some servers print it
    except ValueError:
        return host == "localhost"


def _run_to_end(replies: Coroutine[Any, Any, list[Reply]]) -> list[Reply]:
    """Run to the end, from a program or from a notebook, where a loop is running already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(replies)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, replies).result()
