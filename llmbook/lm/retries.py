"""Asking a server again: how long to wait, how often, and when there is no more hope.

A pause doubles every time, and no two prompts share one exactly, so that those refused together
don't come back together; if the server says how long to wait, it is that long at least.
"""

import logging
import random
import time
from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from llmbook.lm.answers import no_reply
from llmbook.lm.protocol import Reply

__all__ = ["PassingError", "Patience"]

_LONGEST_PAUSE = 30.0  # seconds; pauses don't double beyond it
_NEVER_HEARD = 2  # how often to ask again where nobody has answered so far
_QUIET = 5.0  # seconds between warnings

_log = logging.getLogger(__name__)


class PassingError(Exception):
    """What went wrong may be better the next time.

    Args:
        problem: What it was.
        wait: Seconds that the server asks to wait.
        absent: Nobody listens at the address.
    """

    def __init__(self, problem: str, *, wait: float = 0.0, absent: bool = False) -> None:
        super().__init__(problem)
        self.wait, self.absent = wait, absent


class Patience:
    """How often a server is asked again, and what is known of it by now.

    Args:
        base_url: Where it is, for messages.
        max_retries: How often to ask again.
        backoff: Seconds of the first pause, less up to half of it by chance.
        longest_wait: Most seconds to wait if the server says how long; asked for more, give up.
    """

    def __init__(
        self, base_url: str, max_retries: int, backoff: float, longest_wait: float
    ) -> None:
        self.base_url, self.max_retries = base_url, max_retries
        self.backoff, self.longest_wait = backoff, longest_wait
        self._chance = random.Random()  # of pauses alone: nothing that is written depends on it
        self._absent = False  # nothing listens there, as a prompt has found out to the end
        self._heard = False  # somebody has answered there, be it with an error
        self._warned = -_QUIET  # when somebody was last told why it takes so long

    def begin(self) -> None:
        """Let the prompts of a new call find out for themselves whether anybody listens."""
        self._absent = False

    def hear(self) -> None:
        """Note that somebody has answered."""
        self._absent, self._heard = False, True

    async def ask(self, attempt: Callable[[], Awaitable[Reply]]) -> Reply:
        """Ask until there is an answer, or no hope of one.

        Args:
            attempt: Asks once; by a ``PassingError`` it says that it may be better the next time.

        Returns:
            The answer, or in its place a reply that tells the last error.

        Raises:
            ValueError: If nobody has ever answered there.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(PassingError),
            wait=self._pause,
            stop=self._is_hopeless,
            before_sleep=self._warn,
            retry_error_callback=self._give_up,
        )
        return await retrying(attempt)

    def _pause(self, state: RetryCallState) -> float:
        pause = wait_exponential(multiplier=self.backoff, max=_LONGEST_PAUSE)(state)
        return _error(state).wait + pause * self._chance.uniform(0.5, 1.0)

    def _is_hopeless(self, state: RetryCallState) -> bool:
        error = _error(state)
        return (
            error.wait > self.longest_wait
            or state.attempt_number > self.max_retries
            or (error.absent and self._absent)
            or self._is_nowhere(state)
        )

    def _is_nowhere(self, state: RetryCallState) -> bool:
        """Whether nobody has ever answered there, as a few attempts have found."""
        few = min(self.max_retries, _NEVER_HEARD)
        return _error(state).absent and not self._heard and state.attempt_number > few

    def _give_up(self, state: RetryCallState) -> Reply:
        """The reply where there is no more hope."""
        error = _error(state)
        if error.wait > self.longest_wait:
            return no_reply(f"{error}; the server asks to wait {error.wait:.0f} seconds")
        if self._is_nowhere(state):
            raise ValueError(
                f"base_url must be where a server answers, got {self.base_url}: {error}"
            )
        self._absent = error.absent
        return no_reply(f"{error}; attempts: {state.attempt_number}")

    def _warn(self, state: RetryCallState) -> None:
        """Tell whoever waits, but not of every prompt."""
        now = time.monotonic()
        if now - self._warned >= _QUIET:
            self._warned = now
            again = f"asking again in {state.upcoming_sleep:.1f} seconds"
            _log.warning("%s: %s; %s", self.base_url, _error(state), again)


def _error(state: RetryCallState) -> PassingError:
    """Why the last attempt failed."""
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, PassingError)
    return error
