"""What a server's answer says: the reply in it, or what went wrong.

Servers that speak OpenAI's protocol differ where it is vague: in the shape of texts, counts and
errors. All of it is read here, so that a reply holds what its types say.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

from llmbook.lm.protocol import Reply, split_thought
from llmbook.lm.requests import cut_at_stop

__all__ = [
    "ErrorAnswerError",
    "no_reply",
    "read_reply",
    "said_by",
    "seconds_to_wait",
    "well_formed",
]

_LONGEST = 300  # characters of what a server says that are told


class ErrorAnswerError(Exception):
    """The server reports success, but what it sends is an error.

    Args:
        status: The status that the error names as its code; 200 if it names none.
        message: What it says.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def read_reply(answer: object, stop: Sequence[str], *, chat: bool) -> Reply:
    """The reply in an answer.

    Args:
        answer: What the JSON of the answer holds, or the text of one that is not marked as JSON.
        stop: Where the text ends, as not all servers know stop strings.
        chat: It is an answer to a conversation.

    Returns:
        The reply; one with the finish reason ``"error"`` if the server withholds the answer.

    Raises:
        ErrorAnswerError: If the answer is an error.
        ValueError: If it is malformed; that may be better the next time.
    """
    answer = _parsed(answer)
    choices = answer.get("choices")
    if answer.get("error") or (choices is None and said_by(answer)):
        raise ErrorAnswerError(_status(answer.get("error")), said_by(answer))
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise ValueError(f"one choice expected, got {_short(choices)}")
    [choice] = choices
    reason = choice.get("finish_reason")
    if reason == "content_filter":
        return no_reply("content_filter: the server withholds the answer")
    if reason == "error":
        reason = said_by(choice.get("error")) or "without a reason"
        raise ValueError(f"the model failed on the server's side: {reason}")
    try:
        text = well_formed(_text(choice["message"]["content"] if chat else choice["text"]))
        thought = well_formed(_thought(choice["message"])) if chat else ""
    except (KeyError, TypeError) as error:
        raise ValueError(f"a choice with a text expected ({error!r})") from None
    text, stopped = cut_at_stop(text, stop, chat=chat)
    if stopped or (stop and reason == "stop"):
        reason = "stop"
    elif reason != "length":
        reason = "end"
    if thought and text.lstrip().startswith("<think>"):  # another, or the same once more
        in_text, text = split_thought(text)
        thought = "\n\n".join(dict.fromkeys(filter(None, (thought, in_text))))
    usage = _fields(answer.get("usage"))
    return Reply(
        text,
        reason,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        reused_tokens=_count(_fields(usage.get("prompt_tokens_details")).get("cached_tokens")),
        logprobs=_logprobs(_fields(choice.get("logprobs")), chat),
        thought=thought or None,  # without one, it is looked for in the text
    )


def no_reply(error: str) -> Reply:
    """The reply where there is none."""
    return Reply("", "error", prompt_tokens=0, completion_tokens=0, error=error)


def said_by(body: object) -> str:
    """What the body of an error says, in a line: it may be of any form, a web page among them."""
    if isinstance(body, Mapping):
        for name in ("error", "detail", "message"):
            if reason := body.get(name):
                return said_by(reason)
        return _short(json.dumps(body)) if body and "choices" not in body else ""
    if isinstance(body, str):
        title = re.search(r"<title[^>]*>(.*?)</title>", body, re.IGNORECASE | re.DOTALL)
        return _short(title[1] if title else body)
    return _short(json.dumps(body)) if body else ""


def seconds_to_wait(headers: Mapping[str, str]) -> float:
    """How long a server asks to wait, in seconds or until a date; 0 if it does not."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except (ValueError, OverflowError):
            return 0.0


def well_formed(text: str) -> str:
    """A text that can be written in UTF-8: U+FFFD stands for half of a surrogate pair.

    JSON may hold such halves, where a server parts a text in the middle of a character.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _parsed(answer: object) -> dict[str, Any]:
    """The fields of an answer; of one that is sent as plain text, too."""
    if isinstance(answer, str):
        text = answer
        try:
            answer = json.loads(text)
        except ValueError:
            if text.strip() and text.lstrip()[0] not in "{[":  # not even the half of one
                raise ErrorAnswerError(200, f"no JSON but {said_by(text)}") from None
            raise
    if not isinstance(answer, dict):
        raise ValueError(f"an object of JSON expected, got {_short(answer)}")
    return answer


def _status(error: object) -> int:
    """The status that an error names as its code; 200 if it names none."""
    code = _count(_fields(error).get("code"))
    return code if 400 <= code < 600 else 200


def _text(content: object) -> str:
    """The text of a message: of one in parts, such as a thought and an answer, that of the texts.

    Raises:
        TypeError: If there is none.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [_fields(part) for part in content]
        return "".join(part["text"] for part in parts if part.get("type") == "text")
    raise TypeError(f"content is {_short(content)}")


def _thought(message: Mapping[str, Any]) -> str:
    """What the model thought, where the server has parted it from the text; otherwise ``""``.

    Raises:
        TypeError: If it is not a text.
    """
    for name in ("reasoning_content", "reasoning"):  # some servers send it under both names
        if isinstance(thought := message.get(name), str) and thought.strip():
            return thought.strip()
    content = message.get("content")
    parts = [_fields(part) for part in content] if isinstance(content, list) else []
    thoughts = [_text(part.get("thinking")) for part in parts if part.get("type") == "thinking"]
    return "".join(thoughts).strip()


def _fields(value: object) -> dict[str, Any]:
    """The fields of an object of JSON; none of anything else."""
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    """A count of tokens, which some servers give as ``12.0`` or ``"12"``; 0 where there is none."""
    try:
        return max(0, int(float(value)))
    except (TypeError, ValueError, OverflowError):
        return 0


def _logprobs(fields: dict[str, Any], chat: bool) -> tuple[float, ...] | None:
    """Of each token; nothing where the server leaves one out."""
    try:
        if chat:
            logprobs = [float(token["logprob"]) for token in fields.get("content") or ()]
        else:
            logprobs = [float(logprob) for logprob in fields.get("token_logprobs") or ()]
    except (KeyError, TypeError, ValueError):
        return None
    return tuple(logprobs) or None


def _short(value: object) -> str:
    """A value as a text of one line, cut if it is long."""
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
